// SPDX-License-Identifier: Apache-2.0

// Peers of bench parse: the parsers of Prometheus and VictoriaMetrics over some pages, again and again.
//
//	go_parse SECONDS FILE...   prints "parser GB/s samples" lines, samples of one page
//	go_parse check < FILE      exits 0 when Prometheus' text parser takes the page, 1 when it does not
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
	"unsafe"

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

// fastest takes each page by its fastest of many turns.
func fastest(name string, pages [][]byte, seconds float64, parse func(page []byte) int) {
	best := make([]time.Duration, len(pages))
	samples := 0
	for begin := time.Now(); best[0] == 0 || time.Since(begin).Seconds() < seconds; {
		for i, page := range pages {
			start := time.Now()
			samples = parse(page)
			if took := time.Since(start); best[i] == 0 || took < best[i] {
				best[i] = took
			}
		}
	}
	var bytes, nanoseconds float64
	for i, page := range pages {
		bytes += float64(len(page))
		nanoseconds += float64(best[i].Nanoseconds())
	}
	fmt.Printf("%s %.6f %d\n", name, bytes/nanoseconds, samples)
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
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: go_parse SECONDS FILE... | go_parse check < FILE")
		os.Exit(2)
	}
	seconds, err := strconv.ParseFloat(os.Args[1], 64)
	fail(err)
	var pages [][]byte
	for _, path := range os.Args[2:] {
		page, err := os.ReadFile(path)
		fail(err)
		pages = append(pages, page)
	}
	symbols := labels.NewSymbolTable()
	for name, withLabels := range map[string]bool{"prometheus_tokens": false, "prometheus": true} {
		fastest(name, pages, seconds, func(page []byte) int {
			samples, err := prometheus(page, withLabels, symbols)
			fail(err)
			return samples
		})
	}
	var rows vm.Rows
	fastest("victoriametrics", pages, seconds, func(page []byte) int {
		// As a string without a copy, as a scrape there has it.
		return victoriametrics(unsafe.String(unsafe.SliceData(page), len(page)), &rows)
	})
	if consumed == 0 {
		fail(errors.New("nothing was read"))
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "go_parse:", err)
		os.Exit(1)
	}
}
