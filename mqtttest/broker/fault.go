package broker

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Fault selects packets and an action for them.
type Fault struct {
	// Direction and Type select packets; [AnyType] means all types.
	Direction Direction
	Type      PacketType
	// Client selects packets by client id; nil means all. See [ClientID].
	Client func(id string) bool
	// Filter selects packets by the topic of a PUBLISH, or by the filters of a SUBSCRIBE or
	// UNSUBSCRIBE, of which one must match; nil means all. See [Topic].
	Filter func(string) bool
	// If selects packets by any other condition; nil means all. It must not call the broker.
	If func(Observed) bool
	// After is the number of selected packets that are let through first.
	After int
	// Times is the number of packets that are then hit; 0 means no limit.
	Times int
	// Lasting is how long after its injection the fault ends; 0 means never.
	Lasting time.Duration
	// Chance is the probability that a selected packet is hit; 0 means always.
	Chance float64
	// Do is the action for a packet that is hit.
	Do Action
}

// ClientID matches one client id.
func ClientID(id string) func(string) bool { return func(s string) bool { return s == id } }

// Topic matches one topic or filter.
func Topic(name string) func(string) bool { return func(s string) bool { return s == name } }

func (f *Fault) validate() error {
	var errs []error
	if f.Direction != ToBroker && f.Direction != ToClient {
		errs = append(errs, fmt.Errorf("direction %d", f.Direction))
	}
	if f.Type > Auth {
		errs = append(errs, fmt.Errorf("packet type %d", f.Type))
	}
	if f.After < 0 || f.Times < 0 || f.Lasting < 0 || f.Chance < 0 || f.Chance > 1 {
		errs = append(errs, fmt.Errorf("after %d, times %d, lasting %v, chance %v", f.After, f.Times, f.Lasting, f.Chance))
	}
	if f.Do.kind == pass {
		errs = append(errs, errors.New("no action"))
	}
	if f.Direction == ToBroker && f.Type == Connect && (f.Do.kind == rewrite || f.Do.kind == replay) {
		errs = append(errs, fmt.Errorf("%v on CONNECT", f.Do.kind))
	}
	if f.Do.kind == end && (f.Direction != ToBroker || f.Type == Connect || f.Type == AnyType) {
		errs = append(errs, fmt.Errorf("%v of %v %v", f.Do.kind, f.Type, f.Direction))
	}
	if f.Do.kind == refuse {
		answered := f.Type == Connect || f.Type == Subscribe || f.Type == Unsubscribe || f.Type == Publish
		if f.Direction != ToBroker || !answered {
			errs = append(errs, fmt.Errorf("%v %v cannot be refused", f.Type, f.Direction))
		}
		if f.Do.code < 0x80 && (f.Type != Connect || f.Do.code == 0) {
			errs = append(errs, fmt.Errorf("code 0x%02X refuses nothing", f.Do.code))
		}
	}
	return errors.Join(errs...)
}

// Injected is a fault that was injected.
type Injected struct {
	faults  *faults
	fault   Fault
	action  Action
	until   time.Time
	seen    int // guarded by faults
	applied atomic.Int64
}

// Applied returns the number of packets that the fault has hit.
func (i *Injected) Applied() int64 { return i.applied.Load() }

// Remove ends the fault.
func (i *Injected) Remove() {
	i.faults.mu.Lock()
	defer i.faults.mu.Unlock()
	i.faults.drop(i)
}

func (i *Injected) hits(filter string) bool { return i.fault.Filter == nil || i.fault.Filter(filter) }

// faults are the active faults.
type faults struct {
	some atomic.Bool // list is not empty

	mu     sync.Mutex
	list   []*Injected
	random *rand.Rand
	counts map[string]int64
}

func (f *faults) init(seed uint64) {
	f.random = rand.New(rand.NewPCG(seed, seed))
	f.counts = make(map[string]int64)
}

// add activates a fault.
func (f *faults) add(fault Fault) *Injected {
	i := &Injected{faults: f, fault: fault, action: fault.Do}
	if fault.Lasting > 0 {
		i.until = time.Now().Add(fault.Lasting)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, i)
	f.some.Store(true)
	return i
}

// applied returns how often faults were applied, by kind.
func (f *faults) applied() map[string]int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.counts)
}

func (f *faults) count(kind string) { f.countN(kind, 1) }

func (f *faults) countN(kind string, n int) {
	if n == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[kind] += int64(n)
}

func (f *faults) drop(i *Injected) {
	f.list = slices.DeleteFunc(f.list, func(x *Injected) bool { return x == i })
	f.some.Store(len(f.list) > 0)
}

// decide returns the fault that hits a packet, or nil.
func (f *faults) decide(d Direction, c *conn, p Packet) (hit *Injected) {
	if !f.some.Load() {
		return nil
	}
	o := Observed{Packet: p, Direction: d, ClientID: c.clientID, Version: c.version, Connection: c.number}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range slices.Clone(f.list) {
		if !i.until.IsZero() && time.Now().After(i.until) {
			f.drop(i)
			continue
		}
		if !i.fault.matches(o) {
			continue
		}
		i.seen++
		if i.seen <= i.fault.After || (i.fault.Chance > 0 && f.random.Float64() >= i.fault.Chance) || hit != nil {
			continue
		}
		hit = i
		if n := i.applied.Add(1); i.fault.Times > 0 && int(n) == i.fault.Times {
			f.drop(i)
		}
		f.counts[i.action.name(p.Type())]++
	}
	return hit
}

func (f *Fault) matches(o Observed) bool {
	if o.Type() == Connect && o.Direction == ToBroker && (f.Do.kind == rewrite || f.Do.kind == replay) {
		return false
	}
	return f.Direction == o.Direction && (f.Type == AnyType || f.Type == o.Type()) &&
		(f.Client == nil || f.Client(o.ClientID)) &&
		(f.Filter == nil || slices.ContainsFunc(o.Filters(), f.Filter)) &&
		(f.If == nil || f.If(o))
}
