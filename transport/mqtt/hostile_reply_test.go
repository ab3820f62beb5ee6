package mqtt_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/wrapperspb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// lossHook counts lost connections of a server.
type lossHook struct{ lost atomic.Int64 }

func (h *lossHook) OnConnectionLost(event.ConnectionLostInfo) { h.lost.Add(1) }

// deadHook counts dead letters and parked messages.
type deadHook struct{ n atomic.Int64 }

func (h *deadHook) OnDeadLetter(event.DeadLetterInfo) { h.n.Add(1) }
func (h *deadHook) OnPark(event.ParkInfo)             { h.n.Add(1) }

// dropHook records why replies were dropped.
type dropHook struct {
	mu      sync.Mutex
	dropped []event.ReplyDroppedInfo
}

func (h *dropHook) OnReplyDropped(info event.ReplyDroppedInfo) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dropped = append(h.dropped, info)
}

func (h *dropHook) reasons() (all []event.Reason) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.dropped {
		all = append(all, h.dropped[i].Reason)
	}
	return all
}

// guarded starts a Mosquitto whose access rules let a user publish below
// devices/<user>/ and read the replies to its requests. The service may publish and
// read everything.
func guarded(t testing.TB) *mqtttest.MosquittoBroker {
	t.Helper()
	return mqtttest.Mosquitto(t, mqtttest.WithACL(
		"user service", "topic readwrite #",
		"pattern write devices/%u/#", "pattern read reply/%u/#", "pattern read inbox/%u/#"))
}

// as returns a client that logs in as the user. Its client id equals the user name.
func as(t testing.TB, url, user string, opts ...broker.Option) *requester {
	t.Helper()
	c := carrier{url, mqttbroker.WithProtocol("5"), false}
	return c.broker(t, append([]broker.Option{mqttbroker.WithAuth(user, ""), mqttbroker.WithClientId(user)}, opts...)...)
}

// stateService starts a service that answers requests for the state of devices.
func stateService(t testing.TB, url string, opts ...mqttserver.ServerOption) (srv *mqttserver.Server, handled *atomic.Int64, out *logs) {
	t.Helper()
	srv, out = server(t, url, append([]mqttserver.ServerOption{
		mqttserver.WithBrokerOptions(mqttbroker.WithProtocol("5")), mqttserver.WithAuth("service", ""), mqttserver.WithClientId("service"),
	}, opts...)...)
	handled = new(atomic.Int64)
	err := mqttserver.RegisterReplier(srv, t.Context(), "devices/+/state/get", func(_ context.Context, v *wrapperspb.DoubleValue) (*wrapperspb.DoubleValue, error) {
		handled.Add(1)
		return wrapperspb.Double(2 * v.GetValue()), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	start(t, srv)
	return srv, handled, out
}

// stateOf returns the same service as generated code, with the given QoS of replies.
func stateOf(qos byte) (*event.ServiceDesc, []event.Handler) {
	d := &event.ServiceDesc{Name: "test.States", Methods: []event.MethodDesc{{
		Name: "Get", Operation: "/test.States/Get", Topic: "devices/{device_id}/state/get", Filters: []string{"devices/+/state/get"}, QoS: 1, Codec: "json",
		Reply: &event.ReplyDesc{Timeout: time.Second, QoS: qos},
	}}}
	return d, []event.Handler{eventimpl.NewHandler(&d.Methods[0],
		func(_ context.Context, v *wrapperspb.DoubleValue) (*wrapperspb.DoubleValue, error) {
			return wrapperspb.Double(2 * v.GetValue()), nil
		}, nil)}
}

// ask publishes a request with an arbitrary response topic.
func ask(t testing.TB, b *requester, device, responseTopic string) {
	t.Helper()
	askOn(t, b, "devices/"+device+"/state/get", responseTopic)
}

func askOn(t testing.TB, b *requester, topic, responseTopic string) {
	t.Helper()
	c, err := b.client()
	if err != nil {
		t.Fatal(err)
	}
	m := &envelope.Message{Message: client.Message{Topic: topic, QoS: 1}, Body: wrapperspb.Double(1), Codec: b.Options().Codec}
	m.Props().ResponseTopic, m.Props().CorrelationData = responseTopic, []byte("chosen")
	if err := c.Publish(within(t, patience), m); err != nil {
		t.Fatal(err)
	}
}

// honest sends requests of a device one by one, with a timeout for each, and returns
// how many were answered.
func honest(t testing.TB, b broker.Broker, device string, n int, each time.Duration) (answered int) {
	t.Helper()
	for range n {
		r, err := mqttbroker.Request[wrapperspb.DoubleValue](t.Context(), b, "devices/"+device+"/state/get", wrapperspb.Double(21), broker.WithRequestTimeout(each))
		if err == nil && r.GetValue() == 42 {
			answered++
		}
	}
	return answered
}

// A request with a response topic of 207 levels makes Mosquitto end the connection that
// publishes the reply. Without a check one request cost the service its publishing
// connection for a day. No reply is sent to such a topic.
func TestResponseTopicThatEndsConnectionsIsNotSent(t *testing.T) {
	t.Parallel()
	url := guarded(t).URL()
	losses, letters, drops := new(lossHook), new(deadHook), new(dropHook)
	srv, handled, out := stateService(t, url, mqttserver.WithBrokerOptions(mqttbroker.WithHooks(losses, letters, drops)))
	a, b := as(t, url, "A"), as(t, url, "B")
	const bad = 20
	for i := range bad {
		ask(t, a, "A", fmt.Sprintf("reply/A/%d%s", i, strings.Repeat("/x", 204)))
	}
	if n := honest(t, b, "B", 15, 2*time.Second); n != 15 {
		t.Errorf("%d of 15 honest requests were answered", n)
	}
	mqtttest.Eventually(t, patience, func() bool { return srv.Health().RepliesDropped == bad && handled.Load() == bad+15 })
	mqtttest.Eventually(t, patience, func() bool { return len(drops.reasons()) == bad })
	for _, reason := range drops.reasons() {
		if reason != event.ReasonBadTopic {
			t.Errorf("dropped for %s", reason)
		}
	}
	if n := losses.lost.Load(); n != 0 {
		t.Errorf("%d connections were lost", n)
	}
	if n := letters.n.Load(); n != 0 {
		t.Errorf("%d requests failed", n)
	}
	if n := out.count("the reply to a request was dropped"); n != 1 {
		t.Errorf("%d lines tell of it, want 1", n)
	}
}

// A sends requests whose response topics belong to B, where A may not publish itself.
func TestRepliesGoToNobodyElse(t *testing.T) {
	t.Parallel()
	url := guarded(t).URL()
	srv, handled, _ := stateService(t, url)
	a, b := as(t, url, "A"), as(t, url, "B")
	got := make(chan string, 100)
	for _, filter := range []string{"reply/B/#", "inbox/B/#"} {
		_, err := b.Subscribe(filter, func(_ context.Context, e broker.Event) error {
			got <- e.Topic()
			return nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	topics := []string{"reply/B/inbox", "reply/B", "reply/A/../B/x", "inbox/B/inbox", "inbox/B", "reply/+/x", "devices/B/commands"}
	for _, topic := range topics {
		if !strings.Contains(topic, "+") {
			ask(t, a, "A", topic)
		}
	}
	ask(t, b, "B", "reply/B/mine") // sent after the others
	if topic := receive(t, got); topic != "reply/B/mine" {
		t.Errorf("B got a message on %q", topic)
	}
	mqtttest.Eventually(t, patience, func() bool { return handled.Load() == int64(len(topics)) })
	if n := len(got); n != 0 {
		t.Errorf("B got %d more", n)
	}
	if n := srv.Health().RepliesDropped; n != int64(len(topics))-2 { // one is no topic, one is A's own
		t.Errorf("%d replies were dropped", n)
	}
}

// A requester has a limited share of replies and bytes, which leaves room for others.
func TestRequestersGetTheirShareOfReplies(t *testing.T) {
	t.Parallel()
	url := guarded(t).URL()
	drops := new(dropHook)
	srv, handled, _ := stateService(t, url, mqttserver.WithBrokerOptions(mqttbroker.WithHooks(drops), mqttbroker.WithSubscriberConfig(&v1.Subscriber{Replies: &v1.Replies{PerMinute: 20}})))
	a, b := as(t, url, "A"), as(t, url, "B")
	got := make(chan string, 1000)
	_, err := a.Subscribe("reply/A/#", func(_ context.Context, e broker.Event) error {
		got <- e.Topic()
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		ask(t, a, "A", "reply/A/x")
	}
	if n := honest(t, b, "B", 15, 2*time.Second); n != 15 {
		t.Errorf("%d of 15 honest requests were answered", n)
	}
	mqtttest.Eventually(t, patience, func() bool { return handled.Load() == 115 })
	dropped := srv.Health().RepliesDropped
	if dropped < 70 || dropped > 80 { // some shares are returned during the test
		t.Errorf("%d of 100 replies were dropped, want 80", dropped)
	}
	mqtttest.Eventually(t, patience, func() bool { return int64(len(got)) == 100-dropped })
	for _, reason := range drops.reasons() {
		if reason != event.ReasonQuota {
			t.Errorf("dropped for %s", reason)
		}
	}
}

// A broker ends connections because of a response topic that is allowed. Only the
// connection for replies ends, a few times; then the requester receives no replies for
// a while. Requests and events of others are handled, and their replies arrive.
func TestResponseTopicThatEndsConnectionsHurtsItsRequester(t *testing.T) {
	t.Parallel()
	for _, qos := range []byte{0, 1} {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			t.Parallel()
			b := mqtttest.InProcess(t)
			b.Inject(testbroker.Fault{
				Direction: testbroker.ToBroker, Type: testbroker.Publish, Do: testbroker.CutBefore(),
				Filter: func(topic string) bool { return strings.HasPrefix(topic, "reply/A/") },
			})
			losses, letters, drops := new(lossHook), new(deadHook), new(dropHook)
			srv, _ := server(t, b.URL(), mqttserver.WithBrokerOptions(mqttbroker.WithProtocol("5"), mqttbroker.WithHooks(losses, letters, drops)))
			srv.RegisterService(stateOf(qos))
			var events atomic.Int64
			register(t, srv, "events/+", func(context.Context, string, broker.Headers, *reading) error {
				events.Add(1)
				return nil
			})
			start(t, srv)
			c := carrier{b.URL(), mqttbroker.WithProtocol("5"), false}
			attacker, client := c.broker(t), c.broker(t, mqttbroker.WithClientId("B"))
			for i := range 20 {
				ask(t, attacker, "A", fmt.Sprintf("reply/A/%d/%d", i, i)) // all topics are different
			}
			for i := 0; qos == 0 && srv.Health().RepliesDropped == 0; i++ { // the outcome of the first ones is unknown
				ask(t, attacker, "A", fmt.Sprintf("reply/A/%d/%d", i, i))
			}
			for i := range 100 {
				if err := client.Publish(within(t, patience), fmt.Sprint("events/", i), broker.NewMessage(reading{1})); err != nil {
					t.Fatal(err)
				}
			}
			if n := honest(t, client, "B", 15, 5*time.Second); n < 14 {
				t.Errorf("%d of 15 honest requests were answered", n)
			}
			mqtttest.Eventually(t, patience, func() bool { return events.Load() == 100 && (qos == 0 || srv.Health().RepliesDropped >= 19) })
			before, dropped := losses.lost.Load(), srv.Health().RepliesDropped
			for i := range 20 {
				ask(t, attacker, "A", fmt.Sprintf("reply/A/more/%d", i))
			}
			mqtttest.Eventually(t, patience, func() bool { return srv.Health().RepliesDropped >= dropped+20 })
			if n := honest(t, client, "B", 15, 2*time.Second); n != 15 {
				t.Errorf("%d of 15 honest requests were answered while the requester is barred", n)
			}
			if n := losses.lost.Load(); n > 12 || n != before {
				t.Errorf("%d connections were lost, %d of them later", n, n-before)
			}
			if n := letters.n.Load(); n != 0 {
				t.Errorf("%d requests failed", n)
			}
			for _, h := range srv.Health().Sessions {
				if !h.Connected {
					t.Errorf("%q is not connected", h.ClientID)
				}
			}
			t.Logf("%d connections lost; %d drops", losses.lost.Load(), srv.Health().RepliesDropped)
		})
	}
}

// Twenty requesters with response topics that end connections do not prevent ten others
// from receiving replies, and do not delay events.
func TestManyThatEndConnectionsLeaveOthersTheirReplies(t *testing.T) {
	t.Parallel()
	const attackers, devices, each = 20, 10, 15
	b := mqtttest.InProcess(t)
	b.Inject(testbroker.Fault{
		Direction: testbroker.ToBroker, Type: testbroker.Publish, Do: testbroker.CutBefore(),
		Filter: func(topic string) bool { return strings.HasPrefix(topic, "reply/A") },
	})
	losses, letters := new(lossHook), new(deadHook)
	srv, _, _ := stateService(t, b.URL(), mqttserver.WithBrokerOptions(mqttbroker.WithHooks(losses, letters)))
	var slowest atomic.Int64
	handled := make(chan struct{}, 1000)
	register(t, srv, "events/+", func(_ context.Context, _ string, _ broker.Headers, r *reading) error {
		took := time.Since(time.UnixMicro(int64(r.Celsius)))
		slowest.Store(max(slowest.Load(), int64(took)))
		handled <- struct{}{}
		return nil
	})
	c := carrier{b.URL(), mqttbroker.WithProtocol("5"), false}
	attacker, source, client := c.broker(t), c.broker(t), c.broker(t, mqttbroker.WithClientId("B"))
	for i := range 2 * attackers {
		device := fmt.Sprint("A", i%attackers)
		ask(t, attacker, device, fmt.Sprintf("reply/%s/%d", device, i))
	}
	var answered atomic.Int64
	var wg sync.WaitGroup
	for i := range devices {
		wg.Go(func() { answered.Add(int64(honest(t, client, fmt.Sprint("B", i), each, 2*time.Second))) })
	}
	const events = 200
	for i := range events {
		err := source.Publish(within(t, patience), fmt.Sprint("events/", i), broker.NewMessage(reading{float64(time.Now().UnixMicro())}))
		if err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	for range events {
		receive(t, handled)
	}
	mqtttest.Eventually(t, patience, func() bool { return srv.Health().RepliesDropped == 2*attackers })
	t.Logf("%d of %d answered, %d connections lost, slowest event %v", answered.Load(), devices*each, losses.lost.Load(), time.Duration(slowest.Load()))
	if n := answered.Load(); n < devices*each*9/10 {
		t.Errorf("%d of %d honest requests were answered", n, devices*each)
	}
	if d := time.Duration(slowest.Load()); d > 3*time.Second {
		t.Errorf("an event waited %v", d)
	}
	if n := letters.n.Load(); n != 0 {
		t.Errorf("%d requests failed", n)
	}
}

// Replies that cannot be sent are bounded in bytes. Beyond the bound, waiting replies
// delay later requests, which the limits of the queue bound.
func TestWaitingRepliesAreBoundedInBytes(t *testing.T) {
	t.Parallel()
	const requests, size = 200, 200 << 10
	b := mqtttest.InProcess(t, testbroker.MaxInflight(1000))
	fault := b.Inject(testbroker.Fault{
		Direction: testbroker.ToClient, Type: testbroker.Puback, Client: testbroker.ClientID("service-srv-reply"), Do: testbroker.Drop(),
	})
	srv, _ := server(t, b.URL(), mqttserver.WithBrokerOptions(mqttbroker.WithProtocol("5")), mqttserver.WithClientId("service"))
	const tooMany = (16<<20)/size + 2*16 + 1 // without a worker, and two turns of the workers
	over := make(chan struct{})
	var handled atomic.Int64
	text := strings.Repeat("x", size)
	err := mqttserver.RegisterReplier(srv, t.Context(), "devices/+/state/get", func(context.Context, *wrapperspb.DoubleValue) (*wrapperspb.StringValue, error) {
		if handled.Add(1) == tooMany {
			close(over)
		}
		return wrapperspb.String(text), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	start(t, srv)
	client := carrier{b.URL(), mqttbroker.WithProtocol("5"), false}.broker(t)
	for i := range requests {
		ask(t, client, fmt.Sprint(i), fmt.Sprintf("reply/%d/x", i))
	}
	mqtttest.Eventually(t, patience, func() bool { return handled.Load() > (16<<20)/size && srv.Health().Running == 16 })
	select {
	case <-over:
		t.Errorf("%d replies of %d bytes wait", tooMany, size)
	case <-time.After(time.Second): // all would have been handled by now
	}
	fault.Remove()
	b.Cut("service-srv-reply") // waiting messages are sent again
	mqtttest.Eventually(t, patience, func() bool { return handled.Load() == requests && srv.Health().Running == 0 })
}

// A reply that the broker refuses with a reason code is dropped at once, and its
// request is acknowledged: the next request of the same topic is handled.
func TestRefusedReplyDoesNotHoldItsRequest(t *testing.T) {
	t.Parallel()
	for _, code := range []byte{0x87, 0x97, 0x80} {
		t.Run(fmt.Sprintf("0x%x", code), func(t *testing.T) {
			t.Parallel()
			b := mqtttest.InProcess(t)
			b.Inject(testbroker.Fault{
				Direction: testbroker.ToBroker, Type: testbroker.Publish, Do: testbroker.Refuse(code), Filter: testbroker.Topic("reply/A/bad"),
			})
			letters, drops := new(deadHook), new(dropHook)
			srv, handled, _ := stateService(t, b.URL(), mqttserver.WithBrokerOptions(mqttbroker.WithHooks(letters, drops)))
			client := carrier{b.URL(), mqttbroker.WithProtocol("5"), false}.broker(t)
			got := make(chan string, 10)
			_, err := client.Subscribe("reply/A/#", func(_ context.Context, e broker.Event) error {
				got <- e.Topic()
				return nil
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			ask(t, client, "A", "reply/A/bad")
			ask(t, client, "A", "reply/A/good")
			if topic := receive(t, got); topic != "reply/A/good" {
				t.Errorf("got %q", topic)
			}
			if took := time.Since(began); took > patience/2 {
				t.Errorf("the next request waited %v", took)
			}
			if srv.Health().RepliesDropped != 1 || handled.Load() != 2 || letters.n.Load() != 0 {
				t.Errorf("%d dropped, %d handled, %d failed", srv.Health().RepliesDropped, handled.Load(), letters.n.Load())
			}
			mqtttest.Eventually(t, patience, func() bool { return len(drops.reasons()) == 1 })
		})
	}
}
