package replicas

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/cluster"
)

// Options configure a run. The zero value of a field selects its default.
type Options struct {
	// Binary is the path of the reference service. Required.
	Binary string
	// Messages is how many reports are posted. Default 20,000.
	Messages int
	// Faults is how many faults are injected, spread over the messages; a negative number
	// means none. Default 20.
	Faults int
	// Rate bounds the messages per second. Default 500.
	Rate int
	// Kinds are the names of the faults to inject; empty means all.
	Kinds []string
	// Cluster is the name of a preset of the scripted cluster, with "scripted-" in front;
	// "scripted", "nats" or "gmqtt". Default "scripted".
	Cluster string
	// Collectors and Savers are how many of each there are. Default 2 and 3; one saver where
	// the cluster has no shared groups.
	Collectors, Savers int
	// Quiet is how long no row must be added for the run to count as ended although reports are
	// missing. Default a minute: NATS sends again what a killed saver had after 30 s.
	Quiet time.Duration
	// Seed of every random choice. Default: the time.
	Seed uint64
	// Progress receives a line each second; nil disables it.
	Progress io.Writer
}

const scripted = "scripted"

// FromEnv returns o with the values of the environment variables MESSAGES, FAULTS, RATE,
// KINDS (separated by commas), CLUSTER and SEED. The error lists all problems.
func (o Options) FromEnv() (Options, error) {
	var errs []error
	number := func(name string, to *int) {
		if s := os.Getenv(name); s != "" {
			n, err := strconv.Atoi(s)
			if err != nil || n < 0 {
				errs = append(errs, fmt.Errorf("%s=%q is not a number", name, s))
			}
			if *to = n; n == 0 {
				*to = -1
			}
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
	if s := os.Getenv("KINDS"); s != "" {
		o.Kinds = strings.Split(s, ",")
	}
	if s := os.Getenv("CLUSTER"); s != "" {
		o.Cluster = s
	}
	o = o.withDefaults()
	return o, errors.Join(append(errs, o.validate())...)
}

func (o Options) withDefaults() Options {
	set := func(to *int, standard int) {
		if *to == 0 {
			*to = standard
		}
	}
	set(&o.Messages, 20_000)
	set(&o.Faults, 20)
	set(&o.Rate, 500)
	set(&o.Collectors, 2)
	if o.Cluster == "" {
		o.Cluster = scripted
	}
	if preset, _ := o.preset(); preset.Shares() && o.Cluster != string(cluster.LikeNATS) {
		set(&o.Savers, 3)
	}
	set(&o.Savers, 1)
	if o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixNano())
	}
	if o.Quiet == 0 {
		o.Quiet = time.Minute
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	return o
}

// preset returns the preset of a scripted cluster, and whether it is one.
func (o Options) preset() (cluster.Preset, bool) {
	if o.Cluster == scripted {
		return cluster.Plain, true
	}
	name, ok := strings.CutPrefix(o.Cluster, scripted+"-")
	return cluster.Preset(name), ok
}

func (o Options) validate() error {
	var errs []error
	if preset, ok := o.preset(); ok {
		errs = append(errs, preset.Validate())
	} else if o.Cluster != "nats" && o.Cluster != "gmqtt" {
		errs = append(errs, fmt.Errorf("cluster %q, want nats, gmqtt, scripted or scripted-<preset> with one of %q", o.Cluster, cluster.Presets()))
	}
	if o.Messages < 1 || o.Rate < 1 {
		errs = append(errs, errors.New("want at least 1 message, and 1 per second"))
	}
	for _, kind := range o.Kinds {
		if find(kind) == nil {
			errs = append(errs, fmt.Errorf("no fault has the name %q", kind))
		}
	}
	return errors.Join(errs...)
}

// Lossless reports whether the cluster loses nothing that it has acknowledged, when one node is
// killed at a time.
func (o Options) Lossless() bool {
	switch o.Cluster {
	case scripted, "scripted-nats", "scripted-rabbitmq", "nats":
		return true
	}
	return false
}
