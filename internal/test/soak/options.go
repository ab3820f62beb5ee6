package soak

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// The brokers of a run.
const (
	InProcess = "in-process"
	Mosquitto = "mosquitto"
)

// Options configure a run. The zero value of a field selects its default.
type Options struct {
	// Messages is how many messages are published in total. Default 100,000.
	Messages int
	// Faults is how many faults are injected, spread evenly over the messages. Default
	// 100.
	Faults int
	// Protocol is "3.1.1" or "5". Default "5".
	Protocol string
	// Broker is [InProcess], the default, or [Mosquitto].
	Broker string
	// Seed of every random choice. Default: the time.
	Seed uint64
	// Rate bounds the messages per second; 0 means no bound.
	Rate int
	// Kinds are the names of the faults to inject; empty means all.
	Kinds []string
	// Progress receives a line each second; nil disables it.
	Progress io.Writer
}

// FromEnv returns o with the values of the environment variables MESSAGES, FAULTS, KINDS
// (separated by commas), PROTOCOL, BROKER, SEED, RATE and DURATION. DURATION, together with
// RATE, determines the number of messages. The error lists all problems.
func (o Options) FromEnv() (Options, error) {
	var errs []error
	number := func(name string, to *int) {
		if s := os.Getenv(name); s != "" {
			n, err := strconv.Atoi(s)
			if err != nil || n < 0 {
				errs = append(errs, fmt.Errorf("%s=%q is not a number", name, s))
			}
			*to = n
		}
	}
	number("MESSAGES", &o.Messages)
	number("FAULTS", &o.Faults)
	number("RATE", &o.Rate)
	if s := os.Getenv("SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			errs = append(errs, fmt.Errorf("SEED=%q is not a number", s))
		}
		o.Seed = n
	}
	if s := os.Getenv("DURATION"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil || d <= 0 || o.Rate == 0 {
			errs = append(errs, fmt.Errorf("DURATION=%q is invalid, want a duration such as 10m, together with RATE", s))
		}
		o.Messages = int(d.Seconds() * float64(o.Rate))
		if os.Getenv("FAULTS") == "" {
			o.Faults = int(d.Seconds())
		}
	}
	if s := os.Getenv("KINDS"); s != "" {
		o.Kinds = strings.Split(s, ",")
	}
	text(&o.Protocol, "PROTOCOL")
	text(&o.Broker, "BROKER")
	o = o.withDefaults()
	return o, errors.Join(append(errs, o.validate())...)
}

func text(to *string, name string) {
	if s := os.Getenv(name); s != "" {
		*to = s
	}
}

func (o Options) withDefaults() Options {
	if o.Messages == 0 {
		o.Messages = 100_000
	}
	if o.Faults == 0 {
		o.Faults = 100
	}
	if o.Protocol == "" {
		o.Protocol = "5"
	}
	if o.Broker == "" {
		o.Broker = InProcess
	}
	if o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixNano())
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	return o
}

func (o Options) validate() error {
	var errs []error
	if o.Protocol != "3.1.1" && o.Protocol != "5" {
		errs = append(errs, fmt.Errorf("protocol %q, want 3.1.1 or 5", o.Protocol))
	}
	if o.Broker != InProcess && o.Broker != Mosquitto {
		errs = append(errs, fmt.Errorf("broker %q, want %s or %s", o.Broker, InProcess, Mosquitto))
	}
	return errors.Join(errs...)
}
