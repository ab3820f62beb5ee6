package bridge

import (
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
)

// at has settings with an address.
func at(set func(*Settings)) *Broker {
	return New(func(s *Settings) {
		s.TakeAddresses([]string{"mqtt://127.0.0.1:1"})
		set(s)
	})
}

// Templates that say nothing, or more than their option, are errors before anything
// is sent.
func TestReplyTopicTemplatesAreChecked(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "reply/", "reply/#", "#", "reply/x", "{}", "a/{x", "a/x}", "a/{x}y", "a/{x}{y}", "a/+/{x}", "a/#/{x}", "$SYS/{x}", "a/{x}/\x00", "{=**}"} {
		b := at(func(s *Settings) { s.ReplyTopics = []string{"reply/{1}", text} })
		if err := b.state().err; err == nil || !strings.Contains(err.Error(), "reply topic") {
			t.Errorf("%q: %v", text, err)
		}
		if _, err := at(func(*Settings) {}).NewReplier(ReplierSettings{Filter: "a", Topics: []string{text}}); err == nil {
			t.Errorf("method: %q", text)
		}
	}
	for _, text := range []string{"", "reply/{x}", "a/+", "a/{", "$SYS/#", "a/#/b"} {
		b := at(func(s *Settings) { s.UnboundReplyTopics = []string{text} })
		if err := b.state().err; err == nil || !strings.Contains(err.Error(), "reply topic") {
			t.Errorf("unbound: %q: %v", text, err)
		}
	}
}

func TestNoAnswerUnlessAskedFor(t *testing.T) {
	t.Parallel()
	r, err := at(func(*Settings) {}).NewReplier(ReplierSettings{Filter: "a"})
	if err != nil {
		t.Fatal(err)
	}
	in := &client.Inbound{Topic: "a", Properties: new(client.Properties)}
	if a := r.Answer(&client.Delivery{Event: envelope.Event{Inbound: in}}, nil); a != nil {
		t.Error("an answer that nobody asks for")
	}
}
