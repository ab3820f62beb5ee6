// Command bench compares our clients with other clients and with a bare socket. All run in
// one process, in turn, against a null broker in a process of its own, mosquitto, and the
// in-process broker.
//
// Ratios are computed within each round and then summarised, because the speed of the
// machine changes more between rounds than within one:
//
//	ratio <name> <median> min <m> max <M> [over <contender>] must <g> aim <g>
//	allocs <name> <n> must <g> aim <g>
//	memory <name> <n> KiB must <g> aim <g>
//	info <row> <contender> <rate>/s cpu <µs> allocs <n> bytes <n> calls <n> reorders <n> lost <share>
//
// Where aim is less than must, the number is a cost. Calls are system calls that read or
// write. Lost is the largest share of any round; the run fails if one of our clients
// loses more than 0.1 % in a row of QoS 0.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/bench/internal/contender"
	"github.com/kratos-mqtt/kratos-mqtt/bench/internal/meter"
)

const (
	roleNull   = "null"
	roleIdle   = "idle"
	roleBroker = "in-process"
	roleFile   = "in-process-file"
)

type settings struct {
	role, kind, host string
	version          int

	rounds       int
	time, warmUp time.Duration
	topics       int
	only         string
	profile      string
	contender    string
}

func main() {
	var s settings
	flag.StringVar(&s.role, "role", "", "role of this process: empty runs the benchmark, which starts the other roles itself")
	flag.StringVar(&s.kind, "kind", "", "idle: kind of connection")
	flag.StringVar(&s.host, "host", "", "idle: address of the broker")
	flag.IntVar(&s.version, "version", 4, "idle: MQTT protocol level")
	flag.IntVar(&s.rounds, "rounds", 5, "rounds of each row")
	flag.DurationVar(&s.time, "time", 400*time.Millisecond, "length of one measurement")
	flag.DurationVar(&s.warmUp, "warmup", 100*time.Millisecond, "time before each measurement")
	flag.IntVar(&s.topics, "topics", 64, "topics that a source sends on")
	flag.StringVar(&s.only, "only", "", "regular expression of the rows to run")
	flag.StringVar(&s.profile, "profile", "", "row to profile instead: writes <row>-<contender>.cpu.prof and .allocs.prof")
	flag.StringVar(&s.contender, "contender", "", "contender to profile; the first of the row by default")
	flag.Parse()
	if err := s.run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (s *settings) run() error {
	switch s.role {
	case roleNull:
		return serveNull()
	case roleIdle:
		return serveIdle(s.kind, s.host, byte(s.version))
	case roleBroker:
		return serveBroker()
	case roleFile:
		return serveFile()
	case "":
	default:
		return fmt.Errorf("unknown role %q", s.role)
	}
	only, err := regexp.Compile(s.only)
	if err != nil {
		return err
	}
	e, stop, err := s.open()
	if err != nil {
		return err
	}
	defer stop()
	if s.profile != "" {
		return profileRow(e, s.profile, s.contender)
	}
	return s.table(e, only)
}

// open starts the null broker; other brokers are started when they are first needed.
func (s *settings) open() (*env, func(), error) {
	p, err := startPeer(roleNull)
	if err != nil {
		return nil, nil, err
	}
	config, err := p.tlsConfig()
	if err != nil {
		p.stop()
		return nil, nil, err
	}
	var m *mosquitto
	own := make(map[string]*peer)
	e := &env{
		plain:  contender.Target{Host: p.TCP, Version: 4},
		secure: contender.Target{Host: p.TLS, Version: 4, TLS: config},
		warmUp: s.warmUp, time: s.time, topics: s.topics,
	}
	e.mosquitto = func() (string, error) {
		if m == nil {
			if m, err = startMosquitto(); err != nil {
				return "", err
			}
		}
		return m.host, nil
	}
	e.own = func(role string) (host string, err error) {
		if own[role] == nil {
			started, err := startPeer(role)
			if err != nil {
				return "", err
			}
			own[role] = started
		}
		return own[role].TCP, nil
	}
	return e, func() {
		p.stop()
		if m != nil {
			m.stop()
		}
		for _, p := range own {
			p.stop()
		}
	}, nil
}

func (s *settings) table(e *env, only *regexp.Regexp) error {
	var below, lost []string
	decode, err := decodeAllocs()
	if err != nil {
		return err
	}
	for _, r := range rows() {
		if !only.MatchString(r.name) {
			continue
		}
		res, err := measure(e, r, s.rounds)
		if err != nil {
			return err
		}
		below = append(below, res.report(os.Stdout, decode)...)
		lost = append(lost, res.losses()...)
	}
	if only.MatchString("idle") {
		missing, err := idle(os.Stdout, e)
		if err != nil {
			return err
		}
		below = append(below, missing...)
	}
	summary(os.Stdout, below)
	if len(lost) > 0 {
		return fmt.Errorf("messages were lost: %s", strings.Join(lost, "; "))
	}
	return nil
}

// measure runs the contenders of a row in turn, in reverse order every second round.
func measure(e *env, r row, rounds int) (*result, error) {
	res := &result{row: r, samples: make(map[string][]meter.Sample)}
	for round := range rounds {
		entries := slices.Clone(r.entries)
		if round%2 == 1 {
			slices.Reverse(entries)
		}
		for _, c := range entries {
			s, err := c.load(e)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", r.name, c.name, err)
			}
			res.samples[c.name] = append(res.samples[c.name], s)
		}
	}
	return res, nil
}
