package console

import (
	"context"
	"errors"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/decode"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
)

// publishTime bounds a publish, or a request with its reply.
const publishTime = 10 * time.Second

// tried is the reply to a publish.
type tried struct {
	Topic string  `json:"topic"`
	Took  float64 `json:"took_ms"`
	Reply string  `json:"reply"` // JSON; "" for an event
}

// forms publish the events of the contract.
type forms struct {
	publisher event.ClientConn // nil: nothing is published
	methods   eventproto.Methods
	decoder   decode.Decoder
	audit     func(operator.Action) // may be nil
}

// publish publishes an event whose message is JSON, or sends a request, and reports it to the
// audit. An error has the reason of the broker, or of the replier.
func (f *forms) publish(w http.ResponseWriter, r *http.Request) (any, error) {
	var asked struct {
		Operation string `json:"operation"`
		Message   string `json:"message"`
		By        string `json:"by"`
	}
	if err := readJSON(w, r, &asked); err != nil {
		return nil, err
	}
	if f.publisher == nil {
		return nil, status.Error(codes.PermissionDenied, "this console does not publish")
	}
	m, err := f.methods.Named(asked.Operation)
	if err != nil {
		return nil, status.Error(codes.NotFound, err.Error())
	}
	in := dynamicpb.NewMessage(m.Desc.Input())
	if err := f.decoder.Unmarshal(asked.Message, in); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	topic, err := m.TopicOf(in)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), publishTime)
	defer cancel()
	begin := time.Now()
	reply := tried{Topic: topic}
	if m.Event() {
		err = f.publisher.Publish(ctx, m.Dynamic(), topic, in)
	} else {
		out := dynamicpb.NewMessage(m.Desc.Output())
		if err = f.publisher.Request(ctx, m.Dynamic(), topic, in, out); err == nil {
			reply.Reply, err = f.decoder.Marshal(out)
		}
	}
	reply.Took = milliseconds(time.Since(begin))
	f.audited(asked.By, topic, begin, err)
	if err != nil {
		return nil, failed(err)
	}
	return reply, nil
}

// audited reports a publish to the audit.
func (f *forms) audited(by, topic string, begin time.Time, err error) {
	if f.audit == nil {
		return
	}
	a := operator.Action{Name: "publish", By: deadletter.Editor(by), Time: begin, Topics: []string{topic}, Err: err}
	if a.Outcome.Selected = 1; err == nil {
		a.Outcome.Done = 1
	} else {
		a.Outcome.Failed = 1
	}
	f.audit(a)
}

// failed is the error of a publish, as the page shows it.
func failed(err error) error {
	code := codes.Unknown
	if errors.Is(err, context.DeadlineExceeded) {
		code = codes.Unavailable
	}
	if event.ReasonOf(err) == event.ReasonBadRequest {
		code = codes.InvalidArgument
	}
	return status.Error(code, err.Error())
}
