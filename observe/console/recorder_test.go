package console

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/decode"
)

// clock is a time that tests set.
func clock(r *Recorder) *time.Time {
	now := time.Unix(1_700_000_000, 0)
	r.now = func() time.Time { return now }
	return &now
}

func TestFlow(t *testing.T) {
	t.Parallel()
	r := NewRecorder()
	now := clock(r)
	d := event.Delivery{Operation: "/a.B/C", Filter: "a/+", Topic: "a/1"}
	for i := range 100 {
		info := event.HandleInfo{Delivery: d, Duration: time.Millisecond, SentAt: now.Add(-time.Second)}
		if i == 99 {
			info.Duration, info.Err = time.Second, errors.New("no")
		}
		r.OnHandle(info)
	}
	r.OnRetry(event.RetryInfo{Delivery: d})
	r.OnDeadLetter(event.DeadLetterInfo{Delivery: d})
	r.OnPark(event.ParkInfo{Delivery: d})
	r.OnPublish(event.PublishInfo{Topic: "x/y", Duration: time.Millisecond})
	*now = now.Add(time.Second)
	report := r.flows.report(*now, true, map[string]int{"/a.B/C": 7})
	if len(report.Operations) != 2 || report.Now != now.Unix()-1 {
		t.Fatalf("%+v", report)
	}
	o := report.Operations[0]
	if o.Rate != 100 || o.Total != 100 || o.Errors != 1 || o.Retries != 1 || o.DeadLetters != 1 || o.Parked != 1 || o.Waiting != 7 || o.Age != 1000 || o.Direction != process {
		t.Errorf("%+v", o)
	}
	if o.P50 < 1 || o.P50 > 1.25 || o.P99 < 1 || o.P99 > 1.25 {
		t.Errorf("p50 %v, p99 %v", o.P50, o.P99)
	}
	if n := len(o.Series.Rate); n != history-1 || o.Series.Rate[n-1] != 100 || o.Series.Rate[n-2] != 0 {
		t.Errorf("%d %v", n, o.Series.Rate)
	}
	*now = now.Add(20 * time.Second) // older than what quantiles are taken of
	if o := r.flows.report(*now, true, nil).Operations[0]; o.Rate != 0 || o.P99 != 0 || o.Series.Rate[history-22] != 100 {
		t.Errorf("%+v", o)
	}
	*now = now.Add(time.Hour)
	if o := r.flows.report(*now, true, nil).Operations[0]; o.Total != 100 || o.Series.Rate[history-22] != 0 {
		t.Errorf("%+v", o)
	}
}

// A bucket contains the durations between the end of the one before and its own, and is at most
// a quarter wide.
func TestBuckets(t *testing.T) {
	t.Parallel()
	for us := int64(0); us < 1<<26; us += 1 + us/7 {
		b := bucketOf(time.Duration(us) * time.Microsecond)
		if end := upper(b) * 1000; float64(us) >= end || end > 1.26*float64(us)+1 {
			t.Fatalf("%d µs is in a bucket that ends at %v µs", us, end)
		}
	}
	if bucketOf(-time.Second) != 0 || bucketOf(100*time.Hour) != buckets-1 {
		t.Error("the ends")
	}
}

// What senders and devices choose cannot make the memory grow.
func TestRecorderIsBounded(t *testing.T) {
	t.Parallel()
	r := NewRecorder()
	for i := range 3 * maxFlows {
		r.OnHandle(event.HandleInfo{Delivery: event.Delivery{Filter: fmt.Sprint(i), Topic: "t"}})
	}
	if n := len(r.flows.report(r.now(), false, nil).Operations); n != maxFlows+1 {
		t.Errorf("%d flows", n)
	}
	for i := range maxTopics + 100 {
		r.topics.seen(fmt.Sprintf("a/%d/b", i), r.now())
	}
	if n := r.topics.count.Load(); n != maxTopics {
		t.Errorf("%d topics", n)
	}
	if report := r.topics.below("a", false); len(report.Topics) != maxChildren || !report.Truncated {
		t.Errorf("%d %v", len(report.Topics), report.Truncated)
	}
}

func TestTopicsBelow(t *testing.T) {
	t.Parallel()
	var all topics
	now := time.Unix(1, 0)
	for _, name := range []string{"a/b", "a/b", "a/b/c", "a", "/a", "ab"} {
		all.seen(name, now)
	}
	top := all.below("", true)
	if len(top.Topics) != 3 || top.Topics[0].Level != "" || top.Topics[0].Children != 1 || top.Topics[1].Count != 4 || top.Topics[1].Children != 2 || top.Topics[2].Level != "ab" {
		t.Errorf("%+v", top)
	}
	if got := all.below("a", false); len(got.Topics) != 1 || got.Topics[0].Topic != "a/b" || got.Topics[0].Count != 3 {
		t.Errorf("%+v", got)
	}
	if got := all.below("", false); len(got.Topics) != 1 || got.Topics[0].Topic != "/a" {
		t.Errorf("%+v", got)
	}
}

// Without a page a message costs next to nothing.
func BenchmarkArrivalWithoutPage(b *testing.B) {
	r := NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		if r.WantsPayloads() {
			b.Fatal("a page")
		}
	}
}

// With a page, what is beyond its budget costs a comparison and a count.
func BenchmarkArrivalWithPage(b *testing.B) {
	r := NewRecorder()
	v, err := r.live.join("a/+", "")
	if err != nil {
		b.Fatal(err)
	}
	defer r.live.leave(v)
	info := event.ArrivalInfo{Delivery: event.Delivery{Topic: "a/1", Filter: "a/+", Size: 200}, Message: message.Message{Topic: "a/1", Payload: make([]byte, 200)}}
	b.ReportAllocs()
	for b.Loop() {
		r.OnArrival(info)
		select {
		case <-v.messages:
		default:
		}
	}
}

func BenchmarkHandle(b *testing.B) {
	r := NewRecorder()
	info := event.HandleInfo{Delivery: event.Delivery{Operation: "/a.B/C", Filter: "a/+", Topic: "a/1", Attempt: 1}, Duration: time.Millisecond}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.OnHandle(info)
		}
	})
}

// A payload that is too large to be decoded is shown by its beginning, also where that ends
// within a character.
func TestLargePayloads(t *testing.T) {
	t.Parallel()
	r := NewRecorder()
	v, err := r.live.join("", "")
	if err != nil {
		t.Fatal(err)
	}
	for payload, want := range map[string]string{
		strings.Repeat("水", maxShown): strings.Repeat("水", maxRaw/3), strings.Repeat("\xbf", maxShown+1): "",
	} {
		r.OnArrival(event.ArrivalInfo{Delivery: event.Delivery{Topic: "a", Size: len(payload)}, Message: message.Message{Payload: []byte(payload)}})
		m := (<-v.messages).shown(decode.New(new(protoregistry.Files)))
		if m.Text != want || len(m.Raw) != maxRaw || m.Note != fmt.Sprintf("the payload has %d bytes, of which the first 4096 are shown", len(payload)) {
			t.Errorf("%d bytes of text, want %d; %d raw bytes; %s", len(m.Text), len(want), len(m.Raw), m.Note)
		}
	}
}
