package client

import (
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
)

// made makes a client from settings with an address.
func made(set func(*Settings)) (*Client, error) {
	var s Settings
	s.TakeAddresses([]string{"mqtt://127.0.0.1:1"})
	set(&s)
	return New(&s, NewLasting(), nil)
}

// Invalid templates are errors before anything is sent.
func TestReplyTopicTemplatesAreChecked(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "reply/", "reply/#", "#", "reply/x", "{}", "a/{x", "a/x}", "a/{x}y", "a/{x}{y}", "a/+/{x}", "a/#/{x}", "$SYS/{x}", "a/{x}/\x00", "{=**}"} {
		if _, err := made(func(s *Settings) { s.ReplyTopics = []string{"reply/{1}", text} }); err == nil || !strings.Contains(err.Error(), "reply topic") {
			t.Errorf("%q: %v", text, err)
		}
		if _, err := NewLasting().newReplier(ReplierSettings{Filter: "a", Topics: []string{text}}); err == nil {
			t.Errorf("method: %q", text)
		}
	}
	for _, text := range []string{"", "reply/{x}", "a/+", "a/{", "$SYS/#", "a/#/b"} {
		if _, err := made(func(s *Settings) { s.UnboundReplyTopics = []string{text} }); err == nil || !strings.Contains(err.Error(), "reply topic") {
			t.Errorf("unbound: %q: %v", text, err)
		}
	}
}

func TestNoAnswerUnlessAskedFor(t *testing.T) {
	t.Parallel()
	r, err := NewLasting().newReplier(ReplierSettings{Filter: "a"})
	if err != nil {
		t.Fatal(err)
	}
	in := &Inbound{Topic: "a", Properties: new(Properties)}
	if a := r.Answer(&Delivery{Event: envelope.Event{Inbound: in}}, nil); a != nil {
		t.Error("an answer that nobody asks for")
	}
}
