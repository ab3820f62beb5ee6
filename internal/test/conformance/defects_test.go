package conformance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/conformance"
)

// defective is a broker with one defect; nil functions behave correctly.
type defective struct {
	broker.Broker

	publish    func(ctx context.Context, topic string, m *broker.Message, opts ...broker.PublishOption) error
	subscribe  func(filter string, h broker.Handler, b broker.Binder, opts ...broker.SubscribeOption) (broker.Subscriber, error)
	request    func(ctx context.Context, topic string, m *broker.Message, opts ...broker.RequestOption) (*broker.Message, error)
	connect    func() error
	disconnect func() error
	address    string
}

func (d *defective) Publish(ctx context.Context, topic string, m *broker.Message, opts ...broker.PublishOption) error {
	if d.publish != nil {
		return d.publish(ctx, topic, m, opts...)
	}
	return d.Broker.Publish(ctx, topic, m, opts...)
}

func (d *defective) Subscribe(filter string, h broker.Handler, b broker.Binder, opts ...broker.SubscribeOption) (broker.Subscriber, error) {
	if d.subscribe != nil {
		return d.subscribe(filter, h, b, opts...)
	}
	return d.Broker.Subscribe(filter, h, b, opts...)
}

func (d *defective) Request(ctx context.Context, topic string, m *broker.Message, opts ...broker.RequestOption) (*broker.Message, error) {
	if d.request != nil {
		return d.request(ctx, topic, m, opts...)
	}
	return d.Broker.Request(ctx, topic, m, opts...)
}

func (d *defective) Connect() error {
	if d.connect != nil {
		return d.connect()
	}
	return d.Broker.Connect()
}

func (d *defective) Disconnect() error {
	if d.disconnect != nil {
		return d.disconnect()
	}
	return d.Broker.Disconnect()
}

func (d *defective) Address() string {
	if d.address != "" {
		return strings.TrimSpace(d.address)
	}
	return d.Broker.Address()
}

// handling returns a defect that changes every handler.
func handling(change func(h broker.Handler) broker.Handler) func(*defective) {
	return func(d *defective) {
		d.subscribe = func(filter string, h broker.Handler, b broker.Binder, opts ...broker.SubscribeOption) (broker.Subscriber, error) {
			if h != nil {
				h = change(h)
			}
			return d.Broker.Subscribe(filter, h, b, opts...)
		}
	}
}

// publishing returns a defect that changes every message. A message is dropped if
// change returns false.
func publishing(change func(m *broker.Message) (send bool)) func(*defective) {
	return func(d *defective) {
		d.publish = func(ctx context.Context, topic string, m *broker.Message, opts ...broker.PublishOption) error {
			if m != nil && !change(m) {
				return nil
			}
			return d.Broker.Publish(ctx, topic, m, opts...)
		}
	}
}

func everyTenth() func(m *broker.Message) bool {
	var n atomic.Int64
	return func(*broker.Message) bool { return n.Add(1)%10 != 0 }
}

// noUnsubscribe is a subscription that does not end on Unsubscribe.
type noUnsubscribe struct{ broker.Subscriber }

func (noUnsubscribe) Unsubscribe(bool) error { return nil }

type defect struct {
	promise string // the promise that the defect breaks
	apply   func(*defective)
}

// defects are mistakes that brokers make, each with the promise that it breaks.
func defects() map[string]defect {
	lossy := func() func(*defective) { return publishing(everyTenth()) }
	return map[string]defect{
		"LosesAtQoS0":  {"QoS0", lossy()},
		"LosesAtQoS1":  {"QoS1", lossy()},
		"LosesAtQoS2":  {"QoS2", lossy()},
		"HandlesTwice": {"QoS1", handling(twice)},
		"ChangesBytes": {"QoS1", publishing(func(m *broker.Message) bool {
			m.Body = []byte(strings.ToValidUTF8(string(m.BodyBytes()), "?"))
			return true
		})},
		"DropsHeaders":     {"Headers", publishing(func(m *broker.Message) bool { m.Headers = nil; return true })},
		"SwapsMessages":    {"Order", swapping},
		"NoWildcards":      {"Wildcards", noWildcards},
		"CutsLarge":        {"LargePayload", publishing(func(m *broker.Message) bool { m.Body = m.BodyBytes()[:min(64<<10, len(m.BodyBytes()))]; return true })},
		"OnePublisher":     {"ConcurrentPublishers", onePublisher},
		"IgnoresErrors":    {"ErrorIsRetried", handling(ignoring)},
		"IgnoresPanics":    {"PanicIsRetried", handling(recovering)},
		"AcksBefore":       {"AckWaitsForHandler", handling(background)},
		"ForgetsAcks":      {"AckedIsDone", rememberingAll},
		"NoUnsubscribe":    {"Unsubscribe", keepingSubscriptions},
		"OneHandler":       {"TwoHandlersOnOneFilter", oneHandler},
		"LosesFilters":     {"DisconnectKeepsSubscriptions", forgetful},
		"LosesWhileAway":   {"MessagesWhileAway", losingWhileAway},
		"AlwaysNil":        {"PublishAfterDisconnect", fireAndForget},
		"NoContext":        {"PublishHonoursContext", func(d *defective) { d.publish = d.withoutContext }},
		"NilForBadTopics":  {"BadTopics", fireAndForget},
		"PanicsOnNil":      {"NilArguments", panicking},
		"NoAddress":        {"Describes", func(d *defective) { d.address = " " }},
		"IgnoresQueueName": {"SharedGroup", noQueue},
		"NilForLost":       {"NothingLostOverCuts", impatient},
		"WrongReply":       {"Request", wrongReply},
		"None":             {"", func(*defective) {}},
	}
}

func twice(h broker.Handler) broker.Handler {
	return func(ctx context.Context, e broker.Event) error { return errors.Join(h(ctx, e), h(ctx, e)) }
}

func ignoring(h broker.Handler) broker.Handler {
	return func(ctx context.Context, e broker.Event) error { _ = h(ctx, e); return nil }
}

func recovering(h broker.Handler) broker.Handler {
	return func(ctx context.Context, e broker.Event) error {
		defer func() { _ = recover() }()
		return h(ctx, e)
	}
}

func background(h broker.Handler) broker.Handler {
	return func(ctx context.Context, e broker.Event) error {
		go func() { _ = h(ctx, e) }()
		return nil
	}
}

// swapping delays every other message until the next one has been sent.
func swapping(d *defective) {
	var mu sync.Mutex
	held := make(map[string]*broker.Message)
	d.publish = func(ctx context.Context, topic string, m *broker.Message, opts ...broker.PublishOption) error {
		mu.Lock()
		defer mu.Unlock()
		if held[topic] == nil {
			held[topic] = m
			return nil
		}
		first := held[topic]
		delete(held, topic)
		return errors.Join(d.Broker.Publish(ctx, topic, m, opts...), d.Broker.Publish(ctx, topic, first, opts...))
	}
}

func noWildcards(d *defective) {
	d.subscribe = func(filter string, h broker.Handler, b broker.Binder, opts ...broker.SubscribeOption) (broker.Subscriber, error) {
		return d.Broker.Subscribe(strings.ReplaceAll(filter, "/#", "/+"), h, b, opts...)
	}
}

// onePublisher loses messages that are published concurrently.
func onePublisher(d *defective) {
	var busy atomic.Bool
	d.publish = func(ctx context.Context, topic string, m *broker.Message, opts ...broker.PublishOption) error {
		if !busy.CompareAndSwap(false, true) {
			return nil
		}
		defer busy.Store(false)
		return d.Broker.Publish(ctx, topic, m, opts...)
	}
}

// rememberingAll handles all messages again after a reconnect.
func rememberingAll(d *defective) {
	var mu sync.Mutex
	var again []func()
	handling(func(h broker.Handler) broker.Handler {
		return func(ctx context.Context, e broker.Event) error {
			mu.Lock()
			again = append(again, func() { _ = h(context.WithoutCancel(ctx), e) })
			mu.Unlock()
			return h(ctx, e)
		}
	})(d)
	d.connect = func() error {
		mu.Lock()
		defer mu.Unlock()
		for _, f := range again {
			f()
		}
		again = nil
		return d.Broker.Connect()
	}
}

func keepingSubscriptions(d *defective) {
	d.subscribe = func(filter string, h broker.Handler, b broker.Binder, opts ...broker.SubscribeOption) (broker.Subscriber, error) {
		s, err := d.Broker.Subscribe(filter, h, b, opts...)
		return noUnsubscribe{s}, err
	}
}

// oneHandler passes the messages of a filter only to its last subscriber.
func oneHandler(d *defective) {
	last := make(map[string]broker.Subscriber)
	d.subscribe = func(filter string, h broker.Handler, b broker.Binder, opts ...broker.SubscribeOption) (broker.Subscriber, error) {
		if old := last[filter]; old != nil {
			if err := old.Unsubscribe(true); err != nil {
				return nil, err
			}
		}
		s, err := d.Broker.Subscribe(filter, h, b, opts...)
		last[filter] = s
		return s, err
	}
}

// forgetful loses its subscriptions on Disconnect.
func forgetful(d *defective) {
	var list []broker.Subscriber
	d.subscribe = func(filter string, h broker.Handler, b broker.Binder, opts ...broker.SubscribeOption) (broker.Subscriber, error) {
		s, err := d.Broker.Subscribe(filter, h, b, opts...)
		if err == nil {
			list = append(list, s)
		}
		return s, err
	}
	d.disconnect = func() error {
		for _, s := range list {
			_ = s.Unsubscribe(true)
		}
		list = nil
		return d.Broker.Disconnect()
	}
}

// losingWhileAway ignores messages that arrive right after Connect.
func losingWhileAway(d *defective) {
	var connected atomic.Int64
	handling(func(h broker.Handler) broker.Handler {
		return func(ctx context.Context, e broker.Event) error {
			if connected.Load() > 1 {
				return nil
			}
			return h(ctx, e)
		}
	})(d)
	d.connect = func() error { connected.Add(1); return d.Broker.Connect() }
}

// fireAndForget does not wait for an acknowledgement.
func fireAndForget(d *defective) {
	d.publish = func(ctx context.Context, topic string, m *broker.Message, opts ...broker.PublishOption) error {
		short, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Millisecond)
		defer cancel()
		_ = d.Broker.Publish(short, topic, m, append(slices.Clone(opts), mqttbroker.WithPublishQos(0))...)
		return nil
	}
}

// impatient reports success for a publish that has no connection.
func impatient(d *defective) {
	d.publish = func(ctx context.Context, topic string, m *broker.Message, opts ...broker.PublishOption) error {
		short, cancel := context.WithTimeout(ctx, 300*time.Microsecond) // less than a reconnect takes
		defer cancel()
		_ = d.Broker.Publish(short, topic, m, opts...)
		return nil
	}
}

func (d *defective) withoutContext(ctx context.Context, topic string, m *broker.Message, opts ...broker.PublishOption) error {
	return d.Broker.Publish(context.WithoutCancel(ctx), topic, m, opts...)
}

func panicking(d *defective) {
	d.publish = func(ctx context.Context, topic string, m *broker.Message, opts ...broker.PublishOption) error {
		return d.Broker.Publish(ctx, topic, m.Clone(), opts...)
	}
}

func noQueue(d *defective) {
	d.subscribe = func(filter string, h broker.Handler, b broker.Binder, opts ...broker.SubscribeOption) (broker.Subscriber, error) {
		return d.Broker.Subscribe(filter, h, b, append(slices.Clone(opts), broker.WithSubscribeQueueName(""))...)
	}
}

// wrongReply sends a reply to the previous requester.
func wrongReply(d *defective) {
	var last atomic.Pointer[broker.Message]
	last.Store(broker.NewMessage([]byte("none")))
	d.request = func(ctx context.Context, topic string, m *broker.Message, opts ...broker.RequestOption) (*broker.Message, error) {
		reply, err := d.Broker.Request(ctx, topic, m, opts...)
		return last.Swap(reply), err
	}
}

const childMark = "CONFORMANCE_DEFECTS"

// TestDefective is run by TestSuiteFindsDefects in a separate process, where it must
// fail.
func TestDefective(t *testing.T) {
	if os.Getenv(childMark) == "" {
		return
	}
	for name, d := range defects() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := mqtttest.InProcess(t)
			s := newSuite(t, server, "5")
			pair := func(t *testing.T) (publisher, subscriber broker.Broker) {
				pub, sub := s.pair(t)
				wrapped := [2]*defective{{Broker: pub}, {Broker: sub}}
				for _, w := range wrapped {
					d.apply(w)
				}
				return wrapped[0], wrapped[1]
			}
			conformance.Run(t, s.features(), pair, append(s.options(), conformance.WithPatience(2*time.Second))...)
		})
	}
}

// TestSuiteFindsDefects shows that the suite can fail: a deliberate defect fails the
// subtest of the promise that it breaks, and the other subtests pass.
func TestSuiteFindsDefects(t *testing.T) {
	t.Parallel()
	var filters []string
	want := map[string]bool{} // subtest, and whether it must pass
	for name, d := range defects() {
		if d.promise != "" {
			want[name+"/"+d.promise] = false
		}
	}
	for key := range maps.Clone(want) {
		_, promise, _ := strings.Cut(key, "/")
		if promise != "AckWaitsForHandler" { // takes longer than the child's patience
			want["None/"+promise] = true
		}
	}
	for key := range want {
		name, promise, _ := strings.Cut(key, "/")
		filters = append(filters, fmt.Sprintf("^TestDefective$/^%s$/^%s$", name, promise))
	}
	out := child(t, strings.Join(filters, "|"))
	got := map[string]bool{}
	for _, m := range regexp.MustCompile(`--- (PASS|FAIL): TestDefective/(\w+/\w+)`).FindAllStringSubmatch(out, -1) {
		got[m[2]] = m[1] == "PASS"
	}
	for key, pass := range want {
		if result, ran := got[key]; !ran || result != pass {
			t.Errorf("%s: ran %t, passed %t, want %t", key, ran, result, pass)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

// child runs tests of this program in a separate process, which may fail.
func child(t *testing.T, filter string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, "-test.run", filter, "-test.v")
	cmd.Env = append(os.Environ(), childMark+"=1")
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return string(out)
}
