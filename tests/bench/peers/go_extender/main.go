// SPDX-License-Identifier: Apache-2.0

// A stock Go extender, to be measured against: net/http and encoding/json, the same scoring from
// memory. POST /load takes the scheduling view, POST /prioritize answers as an extender does, GET
// /durations gives (and forgets) the nanoseconds of each from the body read to the reply written.
// It prints its port.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

type args struct {
	Pod struct {
		Metadata struct{ Name, Namespace, UID string }
		Spec     struct {
			Containers []struct {
				Resources struct{ Requests map[string]string }
			}
		}
	}
	NodeNames *[]string
}

type hostPriority struct {
	Host  string
	Score int64
}

type node struct {
	cpus, util15, util1, wait15, wait1, mem, memBytes, stall15, stall1 float64
	io15, io1, loss15, loss1                                           float64
	measured                                                           int64
}

var (
	lock      sync.RWMutex
	nodes     = map[string]*node{}
	durations []int64
)

func load(text []byte) {
	fresh := map[string]*node{}
	for _, line := range bytes.Split(text, []byte("\n")) {
		name, rest, found := strings.Cut(string(line), `{node="`)
		if !found {
			continue
		}
		host, rest, _ := strings.Cut(rest, `"} `)
		fields := strings.Fields(rest)
		value, _ := strconv.ParseFloat(fields[0], 64)
		n := fresh[host]
		if n == nil {
			n = &node{}
			fresh[host] = n
		}
		n.measured, _ = strconv.ParseInt(fields[1], 10, 64)
		switch strings.TrimPrefix(name, "optipod:node_") {
		case "cpus:last":
			n.cpus = value
		case "cpu_utilization:mean_15s":
			n.util15 = value
		case "cpu_utilization:mean_1m":
			n.util1 = value
		case "cpu_runqueue_wait:mean_15s":
			n.wait15 = value
		case "cpu_runqueue_wait:mean_1m":
			n.wait1 = value
		case "memory_utilization:last":
			n.mem = value
		case "memory_bytes:last":
			n.memBytes = value
		case "memory_stall:mean_15s":
			n.stall15 = value
		case "memory_stall:mean_1m":
			n.stall1 = value
		case "io_stall:mean_15s":
			n.io15 = value
		case "io_stall:mean_1m":
			n.io1 = value
		case "network_loss:mean_15s":
			n.loss15 = value
		case "network_loss:mean_1m":
			n.loss1 = value
		}
	}
	lock.Lock()
	nodes = fresh
	lock.Unlock()
}

func quantity(text string) float64 {
	factor := 1.0
	for suffix, f := range map[string]float64{"m": 1e-3, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30} {
		if strings.HasSuffix(text, suffix) {
			text, factor = strings.TrimSuffix(text, suffix), f
		}
	}
	value, _ := strconv.ParseFloat(text, 64)
	return value * factor
}

func score(n *node, cpu, memory float64) float64 {
	utilization := math.Max(n.util15, n.util1)
	after := utilization + cpu/n.cpus
	rho := math.Min(utilization, 0.8)
	predicted := math.Pow(rho, math.Sqrt(2*(n.cpus+1))-1) / (n.cpus * (1 - rho))
	wait := math.Max(n.wait15, n.wait1)
	left := math.Min(1, 1/after) / (1 + math.Sqrt(wait*wait+predicted*predicted))
	over := math.Min(1, math.Max(0, (n.mem+memory/n.memBytes-0.95)/0.1))
	left *= (1 - math.Max(n.stall15, n.stall1)) * (1 - over)
	resent := math.Max(n.loss15, n.loss1)
	return left * (1 - math.Max(n.io15, n.io1)) * (1 - resent/(resent+0.02))
}

func prioritize(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	began := time.Now()
	var a args
	if err != nil || json.Unmarshal(body, &a) != nil || a.NodeNames == nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var cpu, memory float64
	for _, c := range a.Pod.Spec.Containers {
		cpu += quantity(c.Resources.Requests["cpu"])
		memory += quantity(c.Resources.Requests["memory"])
	}
	lock.RLock()
	known := nodes
	lock.RUnlock()
	now := time.Now().UnixMilli()
	scores := make([]float64, len(*a.NodeNames))
	low, high, sum, trust := 1.0, 0.0, 0.0, 0.0
	for i, name := range *a.NodeNames {
		scores[i] = math.NaN()
		if n := known[name]; n != nil && now-n.measured < 30000 {
			scores[i] = score(n, cpu, memory)
			sum, trust = sum+scores[i], trust+1
			low, high = math.Min(low, scores[i]), math.Max(high, scores[i])
		}
	}
	reply := make([]hostPriority, 0, len(scores))
	if high-low > 0.02 {
		for i, name := range *a.NodeNames {
			if math.IsNaN(scores[i]) {
				scores[i] = sum / trust
			}
			if s := int64((scores[i]-low)*10/math.Max(high-low, 0.2) + 0.5); s > 0 {
				reply = append(reply, hostPriority{name, s})
			}
		}
	}
	out, _ := json.Marshal(reply)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(out)))
	w.Write(out)
	w.(http.Flusher).Flush()
	took := time.Since(began).Nanoseconds()
	lock.Lock()
	durations = append(durations, took)
	lock.Unlock()
}

func main() {
	http.HandleFunc("/prioritize", prioritize)
	http.HandleFunc("/load", func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		load(text)
	})
	http.HandleFunc("/durations", func(w http.ResponseWriter, r *http.Request) {
		lock.Lock()
		taken := durations
		durations = nil
		lock.Unlock()
		for _, d := range taken {
			fmt.Fprintln(w, d)
		}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("serving on port", listener.Addr().(*net.TCPAddr).Port)
	http.Serve(listener, nil)
}
