package remote_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
)

// retained has one message on lamps/1, until it is cleared, and the query that was asked last.
type retained struct {
	asked event.RetainedQuery
	gone  bool
	away  bool // the broker, once it has deleted
}

func (r *retained) Retained(_ context.Context, q event.RetainedQuery) (p event.RetainedPage, err error) {
	if r.gone && r.away {
		return p, errors.New("not connected")
	}
	if r.asked = q; !r.gone {
		p.Messages = append(p.Messages, event.RetainedMessage{Message: message.Message{
			Topic: "lamps/1", Payload: []byte(`{"on":true}`), QoS: 1, ContentType: "application/json", Headers: []message.Header{{Key: "k", Value: "v"}},
		}})
		if q.Limit == 1 {
			p.Next, p.Incomplete = "lamps/1", true
		}
	}
	return p, nil
}

func (r *retained) ClearRetained(context.Context, string) error {
	r.gone = true
	return nil
}

// Retained messages are listed, decoded and deleted over HTTP.
func TestRetained(t *testing.T) {
	t.Parallel()
	broker := new(retained)
	var actions []operator.Action
	s := remote.New(operator.New(operator.Options{Retained: broker, Audit: func(a operator.Action) { actions = append(actions, a) }}), token)
	c := served(t, s.Handler(), "", token)
	page, err := c.ListRetained(t.Context(), &operatorv1.ListRetainedRequest{Cursor: "lamps/0", Limit: 1, Bytes: 7})
	if err != nil || len(page.GetMessages()) != 1 || page.GetNext() != "lamps/1" || !page.GetIncomplete() {
		t.Fatalf("%v, %v", page, err)
	}
	if m := page.GetMessages()[0]; m.GetTopic() != "lamps/1" || m.GetContentType() != "application/json" || m.GetDecoder() != "json" || m.GetText() != `{"on":true}` || m.GetHeaders()[0].GetValue() != "v" {
		t.Errorf("%v", m)
	}
	if q := broker.asked; q.Filters[0] != "#" || q.After != "lamps/0" || q.Limit != 1 || q.Bytes != 7 || q.Within != event.DefaultRetainedWithin {
		t.Errorf("asked for %+v", q)
	}
	out, err := c.ClearRetained(t.Context(), &operatorv1.ClearRetainedRequest{Topics: []string{"lamps/1"}, By: "ann"})
	if err != nil || out.GetDone() != 1 || !broker.gone {
		t.Errorf("%v, %v", out, err)
	}
	if _, err = c.ClearRetained(t.Context(), &operatorv1.ClearRetainedRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("no topics: %v", err)
	}
	if _, err = served(t, s.Handler(), "", "").ClearRetained(t.Context(), &operatorv1.ClearRetainedRequest{Topics: []string{"lamps/1"}}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("no token: %v", err)
	}
	if len(actions) != 1 || actions[0].By != "ann" {
		t.Errorf("%+v", actions)
	}
	none, _ := newServer(t, 0, "")
	if _, err = served(t, none.Handler(), "", "").ListRetained(t.Context(), &operatorv1.ListRetainedRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("no broker: %v", err)
	}
}

// What was deleted is reported although it cannot be read again.
func TestClearRetainedOfABrokerThatGoes(t *testing.T) {
	t.Parallel()
	s := remote.New(operator.New(operator.Options{Retained: &retained{away: true}}), token)
	out, err := served(t, s.Handler(), "", token).ClearRetained(t.Context(), &operatorv1.ClearRetainedRequest{Topics: []string{"lamps/1"}})
	if err != nil || out.GetSelected() != 1 || out.GetDone() != 0 || !strings.Contains(out.GetError(), "not connected") {
		t.Errorf("%v, %v", out, err)
	}
}

// The descriptors of the events of a program make a program that has none of them know them.
func TestGetDescriptors(t *testing.T) {
	t.Parallel()
	s, _ := newServer(t, 0, token)
	reply, err := served(t, http.StripPrefix("/x", s.Handler()), "/x", token).GetDescriptors(t.Context(), &operatorv1.GetDescriptorsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(reply.GetDescriptorSet(), set); err != nil {
		t.Fatal(err)
	}
	if _, err := protodesc.NewFiles(set); err != nil {
		t.Error(err)
	}
}
