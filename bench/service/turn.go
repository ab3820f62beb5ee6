package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"
)

// sample holds the measurements of one turn.
type sample struct {
	posts, rows    float64 // per second
	refused        float64 // share of all answers
	p50, p99       time.Duration
	p99Refused     time.Duration
	cpu, cpuBroker time.Duration // per report
	memory, held   float64       // of the service and of the broker, in MiB
}

// String returns a line of the table.
func (s sample) String() string {
	return fmt.Sprintf("%7.0f posts/s %7.0f rows/s  p50 %7v p99 %7v  cpu %4d µs  broker %3d µs  memory %3.0f and %3.0f MiB  refused %.1f %% p99 %v",
		s.posts, s.rows, s.p50.Round(10*time.Microsecond), s.p99.Round(10*time.Microsecond),
		s.cpu.Microseconds(), s.cpuBroker.Microseconds(), s.memory, s.held, 100*s.refused, s.p99Refused.Round(10*time.Microsecond))
}

// turn loads a contender and waits until all accepted reports are stored.
func (c *contender) turn(s *settings) (got sample, err error) {
	service, err := cpuOf(c.service.Process.Pid)
	if err != nil {
		return got, err
	}
	broker, err := cpuOf(c.broker.Process.Pid)
	if err != nil {
		return got, err
	}
	if err := c.slow(s.slow, s.length); err != nil {
		return got, err
	}
	memory := c.watchMemory()
	began := time.Now()
	p, err := load(c.addr, s.clients, s.size, s.length)
	if err != nil {
		return got, err
	}
	took := time.Since(began)
	if p.accepted == 0 {
		return got, fmt.Errorf("no report was accepted, %d were refused", p.refused)
	}
	c.rows += p.accepted
	if err := c.awaitRows(); err != nil {
		return got, err
	}
	all := time.Since(began)
	after, err := cpuOf(c.service.Process.Pid)
	if err != nil {
		return got, err
	}
	brokerAfter, err := cpuOf(c.broker.Process.Pid)
	if err != nil {
		return got, err
	}
	n := time.Duration(p.accepted)
	got.memory, got.held = memory()
	if len(p.tookRefused) > 0 {
		got.p99Refused = p.tookRefused[len(p.tookRefused)*99/100]
	}
	return sample{
		memory: got.memory, held: got.held, p99Refused: got.p99Refused,
		posts: float64(p.accepted) / took.Seconds(), rows: float64(p.accepted) / all.Seconds(),
		refused: float64(p.refused) / float64(p.refused+p.accepted),
		p50:     p.took[len(p.took)/2], p99: p.took[len(p.took)*99/100],
		cpu: (after - service) / n, cpuBroker: (brokerAfter - broker) / n,
	}, nil
}

// watchMemory starts to sample memory. The returned function returns the peaks of the
// service and the broker.
func (c *contender) watchMemory() (most func() (service, broker float64)) {
	over, ended := make(chan struct{}), make(chan struct{})
	var service, broker float64
	go func() {
		defer close(ended)
		for {
			service, broker = max(service, memoryOf(c.service.Process.Pid)), max(broker, memoryOf(c.broker.Process.Pid))
			select {
			case <-time.After(100 * time.Millisecond):
			case <-over:
				return
			}
		}
	}()
	return func() (float64, float64) {
		close(over)
		<-ended
		return service, broker
	}
}

// tick is the unit of /proc/<pid>/stat.
const tick = 10 * time.Millisecond

// cpuOf returns the user and system time of a process.
func cpuOf(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// Fields 3 and up follow the name, which may contain any characters.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// memoryOf returns the resident memory of a process in MiB, 0 if the process has ended.
func memoryOf(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	pages, err := strconv.ParseFloat(string(bytes.Fields(text)[1]), 64)
	if err != nil {
		return 0
	}
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

// goals are the required ratios to the contender written by hand; that of cpu is an upper
// limit.
var goals = map[string]struct{ posts, rows, cpu float64 }{
	withOutbox:    {0.8, 0.9, 1.6},
	withoutOutbox: {0.95, 0.9, 1.6},
}

// summary prints the medians, and the ratios to the contender written by hand, which are
// computed within each round.
func summary(w io.Writer, database string, results map[string][]sample) {
	fmt.Fprintln(w)
	for _, name := range contenders {
		list := results[name]
		if len(list) == 0 {
			continue
		}
		fmt.Fprintf(w, "median   %-8s %-18s %v\n", database, name, sample{
			posts: of(list, func(s sample) float64 { return s.posts }), rows: of(list, func(s sample) float64 { return s.rows }),
			refused: of(list, func(s sample) float64 { return s.refused }), memory: of(list, func(s sample) float64 { return s.memory }),
			held: of(list, func(s sample) float64 { return s.held }), p99Refused: duration(list, func(s sample) time.Duration { return s.p99Refused }),
			p50: duration(list, func(s sample) time.Duration { return s.p50 }), p99: duration(list, func(s sample) time.Duration { return s.p99 }),
			cpu:       duration(list, func(s sample) time.Duration { return s.cpu }),
			cpuBroker: duration(list, func(s sample) time.Duration { return s.cpuBroker }),
		})
	}
	for _, name := range contenders[1:] {
		list, base, goal := results[name], results[byHand], goals[name]
		if len(list) == 0 || len(base) != len(list) {
			continue
		}
		ratio := func(f func(sample) float64) float64 {
			ratios := make([]float64, len(list))
			for i := range list {
				ratios[i] = f(list[i]) / f(base[i])
			}
			slices.Sort(ratios)
			return ratios[len(ratios)/2]
		}
		fmt.Fprintf(w, "ratio    %-8s %-18s posts %.2f (goal %.2f)  rows %.2f (goal %.2f)  cpu %.2f (goal %.2f)\n", database, name,
			ratio(func(s sample) float64 { return s.posts }), goal.posts,
			ratio(func(s sample) float64 { return s.rows }), goal.rows,
			ratio(func(s sample) float64 { return float64(s.cpu) }), goal.cpu)
	}
	fmt.Fprintln(w)
}

// of returns the median of a value.
func of(list []sample, value func(sample) float64) float64 {
	values := make([]float64, len(list))
	for i, s := range list {
		values[i] = value(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func duration(list []sample, value func(sample) time.Duration) time.Duration {
	return time.Duration(of(list, func(s sample) float64 { return float64(value(s)) }))
}
