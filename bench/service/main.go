// Command service compares the reference service with the same steps written by hand
// (package handwritten), from the HTTP request to the stored row.
//
// Each contender is a process with its own Mosquitto and its own database. All of them are
// loaded in turn, in reverse order every second round. Each turn prints one line; the end
// of the output has the medians:
//
//	<database> <contender> posts/s rows/s p50 p99 cpu broker-cpu
//
// rows/s counts until every accepted report is stored. cpu is the user and system time of
// the service's process for one report, in µs; memory is the peak resident memory of the
// service and of the broker.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/postgres"
)

type settings struct {
	server, handwritten string
	length              time.Duration
	rounds, clients     int
	size, inflight      int
	databases, only     string
	slow                int
	maxBytes            int64

	mu      sync.Mutex
	running []*contender
}

func main() {
	var s settings
	flag.StringVar(&s.server, "server", "bin/server", "program of the reference service")
	flag.StringVar(&s.handwritten, "handwritten", "bin/handwritten", "program of the contender written by hand")
	flag.DurationVar(&s.length, "time", 5*time.Second, "length of one turn")
	flag.IntVar(&s.rounds, "rounds", 3, "turns of each contender")
	flag.IntVar(&s.clients, "clients", 64, "connections that post")
	flag.IntVar(&s.size, "size", 200, "bytes of a report's content")
	flag.IntVar(&s.inflight, "inflight", 0, "messages that Mosquitto sends without acknowledgement; 0 means no bound, Mosquitto's default is 20")
	flag.StringVar(&s.databases, "databases", "sqlite,postgres", "databases to run on")
	flag.StringVar(&s.only, "only", "", "contenders to run, by name; empty runs all")
	flag.IntVar(&s.slow, "slow", 0, "rows a second that the database takes during a turn, slowed by a trigger; 0 means no limit")
	flag.Int64Var(&s.maxBytes, "max-bytes", 0, "bound of the service's outbox; 0 means the service's default")
	flag.Parse()
	if err := s.run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench-service:", err)
		os.Exit(1)
	}
}

// contenders are compared with the first one.
var contenders = []string{byHand, withOutbox, withoutOutbox}

const (
	byHand        = "by-hand"
	withOutbox    = "service"
	withoutOutbox = "service-no-outbox"
)

func (s *settings) run() error {
	// Commits wait for the disk, as they do in production.
	pg := postgres.NewServer(postgres.Durable()...)
	defer func() { _ = pg.Close() }()
	s.stopOnSignal(pg)
	for _, database := range strings.Split(s.databases, ",") {
		results, err := s.measure(database, pg)
		if err != nil {
			return fmt.Errorf("%s: %w", database, err)
		}
		summary(os.Stdout, database, results)
	}
	return nil
}

func (s *settings) measure(database string, pg *postgres.Server) (map[string][]sample, error) {
	defer s.stopAll()
	for _, name := range contenders {
		if s.only != "" && !slices.Contains(strings.Split(s.only, ","), name) {
			continue
		}
		c, err := s.start(name, database, pg)
		if c != nil {
			s.mu.Lock()
			s.running = append(s.running, c)
			s.mu.Unlock()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	results := make(map[string][]sample)
	for round := range s.rounds {
		turn := slices.Clone(s.running)
		if round%2 == 1 {
			slices.Reverse(turn)
		}
		for _, c := range turn {
			got, err := c.turn(s)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			fmt.Printf("%-8s %-18s %v\n", database, c.name, got)
			results[c.name] = append(results[c.name], got)
		}
	}
	return results, nil
}

func (s *settings) stopAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.running {
		c.stop()
	}
	s.running = nil
}

// stopOnSignal ends all child processes when a signal arrives.
func (s *settings) stopOnSignal(pg *postgres.Server) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		s.stopAll()
		_ = pg.Close()
		os.Exit(1)
	}()
}
