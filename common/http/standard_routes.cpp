// SPDX-License-Identifier: Apache-2.0
#include "common/http/standard_routes.hpp"

#include <memory>
#include <string_view>
#include <utility>

#include "common/text/exposition.hpp"

namespace optipod::http {
namespace {

void append_html(std::string& out, std::string_view s) {
  for (const char c : s) {
    switch (c) {
      case '&':
        out.append("&amp;");
        break;
      case '<':
        out.append("&lt;");
        break;
      case '>':
        out.append("&gt;");
        break;
      case '"':
        out.append("&quot;");
        break;
      default:
        out.push_back(c);
    }
  }
}

std::string landing_page(const StandardRoutes& routes) {
  std::string out = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>";
  append_html(out, routes.program);
  out.append("</title></head>\n<body><h1>");
  append_html(out, routes.program);
  out.append("</h1>\n<p>");
  append_html(out, routes.description);
  out.append("</p>\n<ul>\n");
  std::vector<std::pair<std::string, std::string>> links = {
      {"/metrics", "metrics in the Prometheus text format"},
      {"/healthz", "whether the program lives"},
      {"/readyz", "whether it can do its work, and if not, why"}};
  links.insert(links.begin(), routes.links.begin(), routes.links.end());
  for (const auto& [path, text] : links) {
    out.append("<li><a href=\"");
    append_html(out, path);
    out.append("\">");
    append_html(out, path);
    out.append("</a>: ");
    append_html(out, text);
    out.append("</li>\n");
  }
  out.append("</ul></body></html>\n");
  return out;
}

}  // namespace

void add_standard_routes(Server& server, StandardRoutes routes) {
  const auto page = [&](std::string_view path, Handler handler) {
    server.route("GET", path, std::move(handler), {.always = true});
  };
  page("/", [text = landing_page(routes)](const Request&, Response& response) {
    response.content_type = "text/html; charset=utf-8";
    response.body = text;
  });
  page("/healthz", [](const Request&, Response& response) { response.body = "ok\n"; });
  page("/readyz", [ready = std::move(routes.readiness)](const Request&, Response& response) {
    Readiness now = ready ? ready() : Readiness{};
    response.status = now.ready ? 200 : 503;
    response.content_type = std::move(now.content_type);
    response.body = now.details;
    if (now.details.empty()) response.body = now.ready ? "ready" : "not ready";
    response.body.push_back('\n');
  });
  Handler serve = std::move(routes.serve_metrics);
  if (!serve) {
    serve = [render = std::move(routes.render_metrics)](const Request&, Response& response) {
      if (render) render(response.body);
    };
  }
  page("/metrics", [serve = std::move(serve)](const Request& request, Response& response) {
    response.content_type = text::kContentType;
    response.gzip = true;
    serve(request, response);
  });
}

}  // namespace optipod::http
