package mqtt_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	kerrors "github.com/go-kratos/kratos/v3/errors"
	kgrpc "github.com/go-kratos/kratos/v3/transport/grpc"
	khttp "github.com/go-kratos/kratos/v3/transport/http"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/stores"
	v1 "github.com/kratos-mqtt/kratos-mqtt/kratosv3/internal/protos/meter/v1"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A Kratos v3 error of a replier comes back as one, with code, reason, message and metadata, also
// where gRPC has no such code.
func TestErrorOfReplier(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, url string) {
		served(t, configured(url, "service"), nil, &meters{total: func(_ context.Context, in *v1.GetTotalRequest) (*v1.Total, error) {
			switch in.GetMeterId() {
			case "m1":
				return &v1.Total{MeterId: "m1", Count: 42}, nil
			case "m2":
				return nil, kerrors.NotFound("METER_UNKNOWN", "no such meter").WithMetadata(map[string]string{"meter": "m2"})
			}
			return nil, fmt.Errorf("wrapped: %w", kerrors.New(413, "TOO_MANY", "too many readings"))
		}})
		c := client(t, configured(url, "publisher"), nil)
		total, err := c.GetTotal(within(t), &v1.GetTotalRequest{MeterId: "m1"})
		if err != nil || total.GetCount() != 42 {
			t.Errorf("got %v, %v", total, err)
		}
		for meter, want := range map[string]*kerrors.Error{
			"m2": kerrors.NotFound("METER_UNKNOWN", "no such meter"),
			"m3": kerrors.New(413, "TOO_MANY", "too many readings"),
		} {
			_, err := c.GetTotal(within(t), &v1.GetTotalRequest{MeterId: meter})
			var k *kerrors.Error
			if !errors.As(err, &k) || k.Code != want.Code || k.Reason != want.Reason || k.Message != want.Message {
				t.Errorf("%s: got %v, want %v", meter, err, want)
			}
		}
	})
}

// An error of a publish answers errors.As for Kratos v3's error, and passes through the
// encoders of HTTP and gRPC with code and reason.
func TestErrorOfPublish(t *testing.T) {
	t.Parallel()
	c := client(t, configured(mqtttest.InProcess(t).URL(), "publisher"), nil)
	err := c.RecordReading(within(t), &v1.Reading{MeterId: "a+b"}) // no level of a topic
	var k *kerrors.Error
	if !errors.As(fmt.Errorf("wrapped: %w", err), &k) || k.Code != 400 || k.Reason != string(event.ReasonBadTopic) {
		t.Fatalf("got %v", err)
	}
	w := httptest.NewRecorder()
	khttp.DefaultErrorEncoder(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody), err)
	var body struct {
		Code   int
		Reason string
	}
	if e := json.Unmarshal(w.Body.Bytes(), &body); e != nil || w.Code != 400 || body.Code != 400 || body.Reason != k.Reason {
		t.Errorf("HTTP %d %s, %v", w.Code, w.Body, e)
	}
	var back *kerrors.Error
	if e := khttp.DefaultErrorDecoder(t.Context(), w.Result()); !errors.As(e, &back) || back.Reason != k.Reason {
		t.Errorf("HTTP client: %v", e)
	}
	if e := kerrors.FromError(overGRPC(t, err)); e.Code != 400 || e.Reason != k.Reason {
		t.Errorf("gRPC client: %v", e)
	}
}

// overGRPC returns what a client of Kratos gets for an error of a method.
func overGRPC(t *testing.T, failure error) error {
	t.Helper()
	method := func(_ any, ctx context.Context, _ func(any) error, around grpc.UnaryServerInterceptor) (any, error) {
		return around(ctx, nil, &grpc.UnaryServerInfo{FullMethod: "/test.Meters/Read"}, func(context.Context, any) (any, error) { return nil, failure })
	}
	srv := kgrpc.NewServer(kgrpc.Address("127.0.0.1:0"))
	srv.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.Meters", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{MethodName: "Read", Handler: method}},
	}, struct{}{})
	at, err := srv.Endpoint()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Start(context.Background()) }()
	conn, err := kgrpc.NewClient(t.Context(), kgrpc.WithEndpoint(at.Host))
	if err != nil {
		t.Fatal(err)
	}
	err = conn.Invoke(within(t), "/test.Meters/Read", new(emptypb.Empty), new(emptypb.Empty))
	_ = conn.Close()
	if stop := errors.Join(srv.Stop(context.Background()), receive(t, ended)); stop != nil {
		t.Error(stop)
	}
	return err
}

// A Kratos v3 error of a subscriber that no retry helps becomes a dead letter at once, with its
// reason; replayed, the message is handled.
func TestDeadLetterAndReplay(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, url string) {
		handled := make(chan int64, 1)
		failing := true // written between deliveries
		store := deadletter.NewMemory(0)
		srv := served(t, configured(url, "service"), &stores.Stores{DeadLetters: store}, &meters{record: func(_ context.Context, in *v1.Reading) error {
			if failing {
				failing = false
				return kerrors.New(422, "NOT_PLAUSIBLE", "counts backwards")
			}
			handled <- in.GetCount()
			return nil
		}})
		if err := client(t, configured(url, "publisher"), nil).RecordReading(within(t), &v1.Reading{MeterId: "m1", Count: 3}); err != nil {
			t.Fatal(err)
		}
		used, err := srv.DeadLetters()
		if err != nil {
			t.Fatal(err)
		}
		var letters []*deadletter.Letter
		mqtttest.Eventually(t, patience, func() bool {
			letters, err = used.List(t.Context(), deadletter.Query{})
			return err != nil || len(letters) == 1
		})
		if err != nil {
			t.Fatal(err)
		}
		if l := letters[0]; l.ErrorType != "NOT_PLAUSIBLE" || l.Topic != "meters/m1/reading" || l.Attempts != 1 {
			t.Errorf("got %+v", l)
		}
		if n, err := srv.Replay(within(t)); n != 1 || err != nil {
			t.Fatalf("replayed %d, %v", n, err)
		}
		if n := receive(t, handled); n != 3 {
			t.Errorf("got %d", n)
		}
	})
}
