package faultmatrix_test

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
)

// numbering is an attack of one device on the detection of gaps.
type numbering struct {
	// attack sends messages with numbers of several sources.
	attack func(sources int, send func(source int, n uint64))
	// sources is the number of sources at the end.
	sources int
	// lost is how many messages of an honest device are lost during the attack and must be
	// reported.
	lost int
}

func (numbering) versions() []string { return []string{"3.1.1", "5"} }

// Row 75: one device numbers its messages so that gaps of others are no longer detected, or so
// that messages seem to be missing that never existed.
func TestFault_75_NumbersOfANeighbour(t *testing.T) {
	t.Parallel()
	eachWay(t, map[string]numbering{
		"more sources than are remembered": {func(sources int, send func(int, uint64)) {
			for i := range sources {
				send(i, 1)
			}
		}, 10_100, 991},
		"a jump that cannot be": {func(sources int, send func(int, uint64)) {
			for i := range sources {
				send(i, 1)
				send(i, 2+uint64(math.MaxInt32))
			}
		}, 3, 0},
	}, func(h *harness, way numbering) {
		n := h.newNeighbours()
		s := h.newSubscriber(n.broker.URL(), "", mqttbroker.WithCloudEvents("/faults"))
		var arrived atomic.Int64
		s.subscribe("devices/+/data", func(_ context.Context, topic, payload string) error {
			if topic == "devices/"+rogue+"/data" {
				arrived.Add(1)
			} else {
				n.handled(idOf([]byte(payload)))
			}
			return nil
		})
		s.run()
		numbered := func(d *device, source string, k uint64, i int) wire {
			return wire{topic: "devices/" + d.name + "/data", payload: []byte(id(i)), headers: [][2]string{
				{"id", id(i)}, {"sequence", fmt.Sprintf("%020d", k)}, {"sequencesource", source},
			}}
		}
		counters := make(map[*device]uint64)
		n.send = func(d *device, i int) {
			counters[d]++
			d.publish(numbered(d, d.name, counters[d], i))
		}
		sent := 0
		attack := func(first, sources int) {
			way.attack(sources, func(source int, k uint64) {
				n.rogue.publish(numbered(n.rogue, fmt.Sprintf("source-%d-%d", first, source), k, hostile+sent))
				sent++
			})
		}
		n.unharmed(s, func(first int) func() {
			attack(first, min(way.sources, 1000)) // this row does not test a flood
			return nil
		})
		attack(n.next, way.sources)
		n.soon(func() bool { return arrived.Load() == int64(sent) })
		victim := n.devices[7]
		counters[victim] += uint64(way.lost)
		n.rec.Attempted(id(n.next))
		n.send(victim, n.next)
		n.verdict()
		topic, missing, elsewhere := "devices/"+victim.name+"/data", 0, 0
		n.soon(func() bool {
			missing, elsewhere = s.gapsOf(topic)
			return missing == way.lost
		})
		h.figure("missing, told", fmt.Sprintf("%d of %d, and %d of others; in the health %d", missing, way.lost, elsewhere, s.health().Missing))
		if missing != way.lost {
			h.Errorf("told of %d missing messages on %q, want %d", missing, topic, way.lost)
		}
		if health := s.health(); health.SequenceJumps+health.SequencesForgotten == 0 {
			h.Error("the health counts neither a jump nor a sequence that was forgotten")
		}
		if all := s.health().Missing; all < int64(way.lost) || all > int64(way.lost)+100 {
			h.Errorf("%d messages are missing by the health, but %d are", all, way.lost)
		}
		if way.lost == 0 {
			n.named("devices/" + rogue + "/data")
		}
	})
}

// gapsOf returns how many messages were reported missing on a topic, and elsewhere.
func (s *spy) gapsOf(topic string) (missing, elsewhere int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.gaps {
		if g.Topic == topic {
			missing += g.Missing
		} else {
			elsewhere += g.Missing
		}
	}
	return missing, elsewhere
}
