// SPDX-License-Identifier: Apache-2.0

// Peers of bench parse: the parsers of Prometheus and VictoriaMetrics over one page, again and again.
//
//	go_parse FILE SECONDS   prints "prometheus_tokens|prometheus|victoriametrics GB/s" lines, each the fastest pass
//	go_parse check < FILE   exits 0 when Prometheus' text parser takes the page, 1 when it does not
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	vm "github.com/VictoriaMetrics/VictoriaMetrics/lib/protoparser/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

var consumed float64

// prometheus reads the page as a scrape does; labels only when a series is new, so with and without.
func prometheus(page []byte, withLabels bool, symbols *labels.SymbolTable) (int, error) {
	parser := textparse.NewPromParser(page, symbols, false)
	var metric labels.Labels
	samples := 0
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return samples, nil
		}
		if err != nil {
			return samples, err
		}
		if entry != textparse.EntrySeries {
			continue
		}
		_, _, value := parser.Series()
		if withLabels {
			parser.Labels(&metric)
			consumed += float64(metric.Len())
		}
		consumed += value
		samples++
	}
}

func victoriametrics(page string, rows *vm.Rows) int {
	rows.Reset()
	rows.UnmarshalWithErrLogger(page, func(line string) { panic(line) })
	for i := range rows.Rows {
		consumed += rows.Rows[i].Value
	}
	return len(rows.Rows)
}

func fastest(name string, bytes int, seconds float64, pass func() int) {
	var best time.Duration
	samples := 0
	for begin := time.Now(); best == 0 || time.Since(begin).Seconds() < seconds; {
		start := time.Now()
		samples = pass()
		if took := time.Since(start); best == 0 || took < best {
			best = took
		}
	}
	fmt.Printf("%s %.6f %d\n", name, float64(bytes)/float64(best.Nanoseconds()), samples)
}

func check() {
	page, err := io.ReadAll(os.Stdin)
	if err == nil {
		_, err = prometheus(page, true, labels.NewSymbolTable())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "check" {
		check()
		return
	}
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: go_parse FILE SECONDS | go_parse check < FILE")
		os.Exit(2)
	}
	page, err := os.ReadFile(os.Args[1])
	seconds, wrong := strconv.ParseFloat(os.Args[2], 64)
	if err != nil || wrong != nil {
		fmt.Fprintln(os.Stderr, "go_parse:", err, wrong)
		os.Exit(1)
	}
	symbols := labels.NewSymbolTable()
	for name, withLabels := range map[string]bool{"prometheus_tokens": false, "prometheus": true} {
		fastest(name, len(page), seconds, func() int {
			samples, err := prometheus(page, withLabels, symbols)
			if err != nil {
				fmt.Fprintln(os.Stderr, "go_parse: prometheus:", err)
				os.Exit(1)
			}
			return samples
		})
	}
	text := string(page)
	var rows vm.Rows
	fastest("victoriametrics", len(page), seconds, func() int { return victoriametrics(text, &rows) })
	if consumed == 0 {
		fmt.Fprintln(os.Stderr, "go_parse: nothing was read")
		os.Exit(1)
	}
}
