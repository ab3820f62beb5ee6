package mqtt_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// A session belongs to one subscription, unless several subscriptions name it. Its
// client id is unique.
func TestOwnSessionNames(t *testing.T) {
	t.Parallel()
	type subscription struct {
		filter string
		own    *v1.Subscription
	}
	own := func(name string) *v1.Subscription { return &v1.Subscription{Session: "own", SessionName: name} }
	for name, tt := range map[string]struct {
		all  []subscription
		want []string // parts of the error; empty means success
		ids  []string
	}{
		"derived":             {[]subscription{{"a/+/c", own("")}}, nil, []string{"app-a_x_c"}},
		"long":                {[]subscription{{strings.Repeat("long/", 20) + "#", own("")}}, nil, []string{"app-" + strings.Repeat("long_", 11) + "-"}},
		"given to two":        {[]subscription{{"a", own("s")}, {"b", own("s")}}, nil, []string{"app-s"}},
		"two handlers":        {[]subscription{{"a", own("")}, {"a", own("")}}, nil, []string{"app-a"}},
		"derived of two":      {[]subscription{{"a/b", own("")}, {"a_b", own("")}}, []string{`"a/b"`, `"a_b"`, "session_name"}, nil},
		"derived and given":   {[]subscription{{"a/b", own("")}, {"c", own("a_b")}}, []string{`"a/b"`, `"c"`}, nil},
		"a publisher's":       {[]subscription{{"a", own("pub")}}, []string{`"pub"`}, nil},
		"another publisher's": {[]subscription{{"a", own("pub-2")}}, []string{`"pub-2"`}, nil},
		"derived is reserved": {[]subscription{{"reply", own("")}}, []string{`"reply"`, "session_name"}, nil},
		"no client id":        {[]subscription{{"a", own("a/b")}}, []string{`"a/b"`, "letters"}, nil},
		"unknown value":       {[]subscription{{"a", &v1.Subscription{Session: "mine"}}}, []string{`subscriptions.a.session`, `session: is not known`, "own"}, nil},
		"name without":        {[]subscription{{"a", &v1.Subscription{SessionName: "x"}}}, []string{`subscriptions.a.session_name`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := mqtttest.InProcess(t)
			c := &v1.Subscriber{Subscriptions: make(map[string]*v1.Subscription)}
			for _, s := range tt.all {
				c.Subscriptions[s.filter] = s.own
			}
			srv, _ := server(t, b.URL(), mqttserver.WithClientId("app"), mqttserver.WithBrokerOptions(mqttbroker.WithSubscriberConfig(c)))
			var err error
			for _, s := range tt.all {
				err = errors.Join(err, srv.RegisterSubscriber(t.Context(), s.filter, func(context.Context, broker.Event) error { return nil }, nil))
			}
			if tt.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				start(t, srv)
				for _, id := range tt.ids {
					if !slices.ContainsFunc(b.Sessions(), func(s testbroker.Session) bool { return strings.HasPrefix(s.ClientID, id) && len(s.Filters) > 0 }) {
						t.Errorf("no session %q in %v", id, b.Sessions())
					}
				}
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			for _, text := range tt.want {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q is not in %v", text, err)
				}
			}
		})
	}
}

// A generated method receives its own session by a register option or by configuration.
// The session has the name of the method.
func TestOwnSessionOfAMethod(t *testing.T) {
	t.Parallel()
	const operation = "/test.Events/SaveReport"
	for name, tt := range map[string]struct {
		config *v1.Subscription
		opts   []event.RegisterOption
		id     string
	}{
		"by configuration":       {&v1.Subscription{Session: "own"}, nil, "app-SaveReport"},
		"by option":              {nil, []event.RegisterOption{event.OwnSession("SaveReport", "")}, "app-SaveReport"},
		"named by option":        {nil, []event.RegisterOption{event.OwnSession("SaveReport", "reports")}, "app-reports"},
		"named by configuration": {&v1.Subscription{Session: "own", SessionName: "r"}, []event.RegisterOption{event.OwnSession("SaveReport", "reports")}, "app-r"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := mqtttest.InProcess(t)
			c := &v1.Subscriber{RetryBudget: durationpb.New(time.Second)}
			if tt.config != nil {
				c.Subscriptions = map[string]*v1.Subscription{operation: tt.config}
			}
			srv, _ := server(t, b.URL(), mqttserver.WithClientId("app"), mqttserver.WithBrokerOptions(mqttbroker.WithSubscriberConfig(c), mqttbroker.WithProtocol("5")))
			d := &event.ServiceDesc{Name: "test.Events", Methods: []event.MethodDesc{{
				Name: "SaveReport", Operation: operation, Topic: "a/x", AdditionalTopics: []string{"b/x"}, Filters: []string{"a/x", "b/x"}, QoS: 1, Codec: "json",
			}}}
			m, got := &d.Methods[0], make(chan struct{}, 10)
			srv.RegisterService(d, []event.Handler{eventimpl.NewHandler(m, func(context.Context, *wrapperspb.DoubleValue) (*emptypb.Empty, error) {
				got <- struct{}{}
				return nil, nil
			}, nil, nil)}, tt.opts...)
			start(t, srv)
			if !slices.ContainsFunc(b.Sessions(), func(s testbroker.Session) bool { return s.ClientID == tt.id && slices.Equal(s.Filters, m.Filters) }) {
				t.Errorf("sessions %v, want %q with %q", b.Sessions(), tt.id, m.Filters)
			}
			if err := srv.Publish(within(t, patience), "b/x", broker.NewMessage(wrapperspb.Double(1))); err != nil {
				t.Fatal(err)
			}
			receive(t, got)
		})
	}
	t.Run("unknown", func(t *testing.T) {
		t.Parallel()
		srv, _ := server(t, mqtttest.InProcess(t).URL())
		srv.RegisterService(&event.ServiceDesc{Name: "test.Events"}, nil, event.OwnSession("Nothing", ""))
		if err := srv.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "Nothing") {
			t.Errorf("got %v", err)
		}
	})
}
