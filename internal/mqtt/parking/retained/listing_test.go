package retained

import (
	"cmp"
	"errors"
	"fmt"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// numbered is the id of the i-th dead letter.
func numbered(i int) string { return fmt.Sprintf("018bcfe5-6800-7000-8000-%012x", i) }

// A read keeps no more in memory than it may, and loses nothing by that.
func TestRetainedPagesAreBounded(t *testing.T) {
	t.Parallel()
	const letters = 200
	p := newListing("p/", deadletter.Query{}, false)
	p.decode.ours = func(string) bool { return true }
	for i := range letters {
		n := (i * 7) % letters // not in order
		l := &deadletter.Letter{ID: numbered(n), State: deadletter.Dead}
		l.Topic, l.Payload = "t", make([]byte, 1<<20)
		m, err := deadletter.Encode(l, true)
		if err != nil {
			t.Fatal(err)
		}
		out := envelope.Outgoing(m)
		err = p.keep(&session.Inbound{Topic: "p/" + part(l.ID) + "/" + l.ID, Payload: out.Payload, Properties: out.Properties, Retain: true})
		if err != nil {
			t.Fatal(err)
		}
		if p.bytes > readAhead+2<<20 {
			t.Fatalf("%d bytes are kept", p.bytes)
		}
	}
	p.done()
	if p.count != letters || !p.cut || len(p.sorted) < 20 || p.sorted[0].ID != numbered(0) || p.sorted[len(p.sorted)-1].ID != numbered(len(p.sorted)-1) {
		t.Errorf("%d counted, %d kept", p.count, len(p.sorted))
	}
	if p.follows(deadletter.Query{After: numbered(25), Limit: 100}) || !p.follows(deadletter.Query{After: numbered(9), Limit: 5}) {
		t.Error("pages beyond what is kept, or within")
	}
}

// More letters in one part than a broker may send in one go are an error beside
// what came, and the message of a self-test is no letter.
func TestIncompletePart(t *testing.T) {
	t.Parallel()
	p := newListing("p/", deadletter.Query{}, false)
	p.decode.ours = func(string) bool { return true }
	keep := func(topic string) {
		if err := p.keep(&session.Inbound{Topic: topic, Payload: make([]byte, 2000), Retain: true}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		p.next()
		for i := range safeCount {
			keep(fmt.Sprintf("p/aa/%04daa", i)) // also where no letter belongs
		}
	}
	keep("p/check/retained/1")
	keep("p/ab/1aa/deeper")
	if err := p.incomplete(); err != nil || p.count != 2*safeCount {
		t.Errorf("%d, %v", p.count, err)
	}
	keep("p/aa/1aa")
	if err := p.incomplete(); !errors.Is(err, deadletter.ErrIncomplete) {
		t.Errorf("%v", err)
	}
	once := newListing("p/", deadletter.Query{}, true)
	once.decode = p.decode
	var err error
	for range safeCount {
		err = cmp.Or(err, once.keep(&session.Inbound{Topic: "p/aa/1aa", Payload: make([]byte, 2000), Retain: true}))
	}
	if !errors.Is(err, errMany) {
		t.Errorf("%v", err)
	}
}
