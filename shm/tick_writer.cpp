// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>

#include "shm/futex.hpp"
#include "shm/segment.hpp"
#include "shm/tick.hpp"

namespace optipod::shm {

struct TickWriter::Impl {
  Impl(WritableSegment&& s, const WriterOptions& o)
      : segment(std::move(s)),
        nodes(segment->ring<NodeRecord>()),
        containers(segment->ring<ContainerRecord>()),
        devices(segment->ring<DeviceRecord>()),
        agents(segment->ring<AgentRecord>()),
        neighbours(segment->ring<NeighbourRecord>()),
        max_containers(o.max_containers),
        max_devices(o.max_devices) {}

  /// Publishes the first `limit` records and sets the fields of `node` that name them.
  template <class Record>
  void publish_all(std::vector<Record>& records, std::size_t limit, RingWriter& ring,
                   const NodeRecord& node, std::uint64_t& first, std::uint64_t& count) {
    first = ring.next();
    count = std::min(records.size(), limit);
    for (std::size_t i = 0; i < count; ++i) {
      records[i].tick = node.tick;
      ring.publish(records[i]);
    }
  }

  std::optional<WritableSegment> segment;  // empty once closed
  RingWriter nodes, containers, devices, agents, neighbours;
  std::size_t max_containers, max_devices;
};

tl::expected<TickWriter, std::string> TickWriter::create(const WriterOptions& options) {
  auto segment = WritableSegment::create(options);
  if (!segment) return tl::unexpected(segment.error());
  return TickWriter(std::make_unique<Impl>(std::move(*segment), options));
}

TickWriter::TickWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TickWriter::TickWriter(TickWriter&&) noexcept = default;
TickWriter& TickWriter::operator=(TickWriter&& other) noexcept {
  std::swap(impl_, other.impl_);
  return *this;
}
TickWriter::~TickWriter() {
  close();
}

void TickWriter::publish(Tick& tick) {
  if (!impl_ || !impl_->segment) return;
  Impl& w = *impl_;
  NodeRecord& node = tick.node;
  node.tick = w.nodes.next();
  w.publish_all(tick.containers, w.max_containers, w.containers, node, node.first_container,
                node.container_count);
  w.publish_all(tick.devices, w.max_devices, w.devices, node, node.first_device, node.device_count);
  w.publish_all(tick.neighbours, kNeighboursKept * w.max_containers, w.neighbours, node,
                node.first_neighbour, node.neighbour_count);
  tick.agent.tick = node.tick;
  node.agent_index = w.agents.publish(tick.agent);

  NodeRecord published = node;  // the caller's own count of what was cut stays as it is
  published.containers_cut += tick.containers.size() - node.container_count;
  published.containers_cut += tick.devices.size() - node.device_count;
  w.nodes.publish(published);  // last: whoever sees it sees all that it names

  WriterLine* const line = w.segment->line();
  MachineAtomics::store<std::memory_order::relaxed>(&line->heartbeat_boottime_ns, boottime_ns());
  // Release: pairs with the acquire in TickReader::wait, which then looks for the node record.
  MachineAtomics::store<std::memory_order::release>(&line->tick,
                                                    static_cast<std::uint32_t>(w.nodes.next()));
  futex_wake_all(&line->tick);
}

void TickWriter::close() {
  if (!impl_ || !impl_->segment) return;
  WriterLine* const line = impl_->segment->line();
  // Release: pairs with the acquire in TickReader::writer_state; every tick lies before the end.
  MachineAtomics::store<std::memory_order::release>(
      &line->state, static_cast<std::uint32_t>(SegmentState::kClosed));
  futex_wake_all(&line->tick);
  impl_->segment.reset();
}

std::uint64_t TickWriter::ticks() const {
  return impl_ ? impl_->nodes.next() : 0;
}

}  // namespace optipod::shm
