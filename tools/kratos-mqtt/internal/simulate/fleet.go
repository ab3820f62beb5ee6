// Package simulate makes messages as devices would send them: valid ones of an operation, from
// its descriptor alone.
package simulate

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
)

// Fleet is a number of devices that send messages of one operation. The same seed makes the
// same messages, except for times.
type Fleet struct {
	method  *eventproto.Method
	devices []*device
}

// device is one sender: it has its own random numbers, so that its messages do not depend on
// those of others, and remembers its last values, because measurements change slowly.
type device struct {
	*rand.Rand
	number int
	own    map[string]bool   // paths of the fields that identify the device
	ids    map[string]string // of the paths in own, where rules decide about them
	last   map[string]float64
	now    time.Time
	rules  *rules
	tries  int // so far, for the message that is made
	work   int // values and bytes so far, of this try
}

// Options are what a fleet is like.
type Options struct {
	// Devices is their number, at least 1.
	Devices int
	// Seed is where the random values begin.
	Seed uint64
	// IgnoreRules makes messages that may break the rules of protovalidate.
	IgnoreRules bool
}

// New returns a fleet. A method whose topic nobody can publish to, or for which no message is
// found that keeps the rules of protovalidate, is an error.
func New(method *eventproto.Method, o Options) (*Fleet, error) {
	if o.Devices < 1 {
		return nil, fmt.Errorf("%d devices, want at least 1", o.Devices)
	}
	rules := new(rules)
	if !o.IgnoreRules {
		var err error
		if rules, err = readRules(method.Desc.Input()); err != nil {
			return nil, fmt.Errorf("%s: rules of protovalidate: %w", method.Operation, err)
		}
	}
	f := &Fleet{method: method}
	own := identity(method)
	join := func(i int) *device {
		return &device{
			Rand: rand.New(rand.NewPCG(o.Seed, uint64(i))), number: i + 1, own: own, ids: make(map[string]string),
			last: make(map[string]float64), rules: rules,
		}
	}
	if _, _, err := (&Fleet{method: method, devices: []*device{join(0)}}).Message(0, time.Now()); err != nil {
		return nil, err
	}
	for i := range o.Devices {
		f.devices = append(f.devices, join(i))
	}
	return f, nil
}

// identity returns the fields that are the same in all messages of a device: the first parameter
// of the topic that is an id, else the field device_id or client_id, else the first parameter;
// and the ordering key.
func identity(m *eventproto.Method) map[string]bool {
	var params []string
	for _, fields := range m.Topics[0].Fields {
		if fields != nil {
			params = append(params, eventproto.Path(fields))
		}
	}
	own := make(map[string]bool)
	fields := m.Desc.Input().Fields()
	switch i := slices.IndexFunc(params, func(path string) bool { return strings.HasSuffix(path, "id") }); {
	case i >= 0:
		own[params[i]] = true
	case fields.ByName("device_id") != nil:
		own["device_id"] = true
	case fields.ByName("client_id") != nil:
		own["client_id"] = true
	case len(params) > 0:
		own[params[0]] = true
	}
	if m.OrderingKey != nil && eventproto.Path(m.OrderingKey) != eventproto.Path(m.ID) {
		own[eventproto.Path(m.OrderingKey)] = true
	}
	return own
}

const (
	// maxWork bounds the values and bytes that are drawn for a message, and manyWork those after
	// which messages in messages are left out that need not be there.
	maxWork  = 1 << 22
	manyWork = 1 << 16
	// perMessage is what an empty message counts.
	perMessage = 64
	// patience is for how long messages are drawn until one is valid.
	patience = 10 * time.Second
)

// spend counts what is drawn.
func (d *device) spend(n int) { d.work += n }

// over reports whether too much was drawn: then nothing more is.
func (d *device) over() bool { return d.work > maxWork }

// Message returns the next message of a device, from 0, and its topic. Different devices may be
// used concurrently.
func (f *Fleet) Message(number int, now time.Time) (*dynamicpb.Message, string, error) {
	d := f.devices[number]
	d.now = now
	fixed, begin := maps.Clone(d.ids), time.Now()
	for d.tries = 0; ; d.tries++ {
		m := dynamicpb.NewMessage(f.method.Desc.Input())
		d.work = 0
		d.fill(m, "", 0)
		if d.over() {
			return nil, "", fmt.Errorf("%s: the fields and their rules want a message of more than %d values and bytes", f.method.Operation, maxWork)
		}
		topic, err := f.method.TopicOf(m)
		if err == nil {
			if err = d.rules.check(m, now); err == nil {
				return m, topic, nil
			}
			if !broken(err) {
				return nil, "", fmt.Errorf("%s: rules of protovalidate: %w", f.method.Operation, err)
			}
		}
		if d.tries == attempts || time.Since(begin) > patience {
			return nil, "", fmt.Errorf("%s: no valid message in %d attempts: %w", f.method.Operation, d.tries, err)
		}
		d.ids = maps.Clone(fixed) // those of a valid message stay
	}
}
