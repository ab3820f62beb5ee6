package request

import (
	"errors"
	"strings"
	"testing"

	kerrors "github.com/go-kratos/kratos/v2/errors"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// random is what nobody guesses.
const random = "0b6f0d5e-7d0a-4f4e-9d53-2f2f2f0a9c11"

// rules are templates as a service sets them; nil is not set.
type rules struct{ topics, unbound []string }

func (r rules) parsed(t *testing.T) (parsed Rules) {
	t.Helper()
	var err, bad error
	if r.topics != nil {
		parsed.Topics, err = ParseTemplates(r.topics, true)
	}
	parsed.Unbound, bad = ParseTemplates(r.unbound, false)
	if err := errors.Join(err, bad); err != nil {
		t.Fatal(err)
	}
	parsed.Limits = Limits{}.Resolved()
	return parsed
}

// A response topic is a stranger's wish: it is granted where the topic of the
// request says that it is the stranger's.
func TestReplyTopicsAreBoundToTheRequest(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		filter, topic string
		method        []string // templates of the method
		set           func(*rules)
		yes, no       []string
	}{
		"one parameter": {
			"devices/+/state/get", "devices/A/state/get", nil, nil,
			[]string{"reply/A", "reply/A/inbox", "reply/A/", "reply/A/../B", "reply/A/$SYS", "inbox/any/" + random},
			[]string{
				"reply/B", "reply/B/inbox", "reply/AB", "reply/a/x", "reply", "reply/", "reply//A", "/reply/A", " reply/A", "x/reply/A", "$SYS/reply/A",
				"$share/g/reply/A", "reply/+", "reply/A/#", "reply/A/\x00", "reply/A/\x01", "reply/A/\u202e", "reply/A/\uffff", "reply/A/\xff", "reply/A/" + strings.Repeat("x", 65_535), "\ufeffreply/A",
				"dead-letter/service/1", "A", "reply/A" + strings.Repeat("/x", 207), "reply/{1}/x",
				"inbox/any", "inbox/any/x", "inbox//" + random, "inbox/any/" + random + "/x", "inbox/" + random, "inbox/any/x/" + random,
				"inbox/any/{" + random + "}", "inbox/any/urn:uuid:" + random, "inbox/any/00000000-0000-0000-0000-000000000000",
			},
		},
		"several parameters": {
			"tenants/+/devices/+/get", "tenants/T/devices/A/get", nil, nil,
			[]string{"reply/T/A", "reply/T/A/x"},
			[]string{"reply/T", "reply/T/B", "reply/A", "reply/A/x", "reply/A/T"},
		},
		"the rest": {
			"files/#", "files/a/b", nil, nil,
			[]string{"reply/a/b", "reply/a/b/c"},
			[]string{"reply/a", "reply/a/c", "reply/files/a/b"},
		},
		"no rest": {"files/#", "files", nil, nil, []string{"inbox/c/" + random}, []string{"reply/", "reply", "reply//x"}},
		"no parameter": {
			"double", "double", nil, nil,
			[]string{"inbox/c/" + random},
			[]string{"reply/double", "reply/x", "reply", "inbox/c/1"},
		},
		"shared": {"$share/g/devices/+/get", "devices/A/get", nil, nil, []string{"reply/A/x"}, []string{"reply/B/x", "reply/get/x"}},
		"empty level": {
			"devices/+/get", "devices//get", nil, nil, nil, []string{"reply//x", "reply/", "reply"},
		},
		"of the method": {
			"devices/+/get", "devices/A/get",
			[]string{"answers/{1}", "m/{field}/#"},
			nil,
			[]string{"answers/A", "m/F/x", "m/F"},
			[]string{"answers/A/x", "answers/B", "m/G/x", "reply/A/x"},
		},
		"set": {
			"devices/+/get", "devices/A/get",
			[]string{"answers/{1}/#"},
			func(s *rules) { s.topics = []string{"to/{1}/x/#"} },
			[]string{"to/A/x", "to/A/x/y"},
			[]string{"to/A", "answers/A/x", "reply/A/x"},
		},
		"set, of another method": {
			"double", "double", nil, func(s *rules) { s.topics = []string{"to/{1}/#", "{name}/x", "m/{field}"} },
			[]string{"inbox/c/" + random},
			[]string{"to/", "to//x", "to/{1}/x", "{name}/x", "/x", "m/F"},
		},
		"none": {"devices/+/get", "devices/A/get", nil, func(s *rules) { s.topics = []string{} }, []string{"inbox/c/" + random}, []string{"reply/A"}},
		"unbound": {
			"devices/+/get", "devices/A/get", nil, func(s *rules) { s.unbound = []string{"answers/#", "one/topic"} },
			[]string{"answers", "answers/B", "one/topic", "reply/A/x"},
			[]string{"answersx", "one/topic/x", "reply/B/x", "answers/#"},
		},
		"all": {
			"double", "double", nil, func(s *rules) { s.unbound = []string{"#"} },
			[]string{"a", "reply/B", "/", "a/$SYS"},
			[]string{"$SYS/a", "$share/g/a", "$", "+", "#", "a/\x00"},
		},
	} {
		var set rules
		if tt.set != nil {
			tt.set(&set)
		}
		r, err := NewResponseTopics(Replier{
			Operation: tt.filter, Filter: tt.filter, Topics: tt.method,
			Field: func(_ any, name string) string { return map[string]string{"field": "F"}[name] },
		})
		if err != nil {
			t.Fatal(err)
		}
		rules := set.parsed(t)
		for _, topic := range tt.yes {
			if err := r.Check(&rules, tt.topic, topic, struct{}{}); err != nil {
				t.Errorf("%s: %q: %v", name, topic, err)
			}
		}
		for _, topic := range tt.no {
			err := r.Check(&rules, tt.topic, topic, struct{}{})
			if err == nil {
				t.Errorf("%s: %.40q is allowed", name, topic)
				continue
			}
			e, ok := errors.AsType[*event.Error](err)
			if !ok || e.Reason != event.ReasonBadTopic || kerrors.Code(err) != 400 {
				t.Errorf("%s: %.40q: %v", name, topic, err)
			}
			if text := err.Error(); len(text) > 1000 || strings.ContainsAny(text, "\x00\n\r") {
				t.Errorf("%s: not fit for a log: %q", name, text)
			}
		}
	}
}

// A message that cannot be decoded has no fields.
func TestReplyTopicOfAFieldNeedsTheMessage(t *testing.T) {
	t.Parallel()
	r, err := NewResponseTopics(Replier{Filter: "a", Topics: []string{"m/{field}"}, Field: func(any, string) string { return "F" }})
	if err != nil {
		t.Fatal(err)
	}
	rules := Rules{Limits: Limits{}.Resolved()}
	if err := r.Check(&rules, "a", "m/F", struct{}{}); err != nil {
		t.Error(err)
	}
	if r.Check(&rules, "a", "m/F", nil) == nil {
		t.Error("allowed by a field of no message")
	}
}

// FuzzResponseTopic: whatever a sender writes, nothing is published but below what is
// its own, and no status of a reply does harm.
func FuzzResponseTopic(f *testing.F) {
	for _, s := range []string{"reply/A/x", "reply/B", "inbox/c/" + random, "#", "$SYS", "", "reply/A/+", "\xff", "reply/{1}"} {
		f.Add("devices/A/get", s, "404", "why")
	}
	r, err := NewResponseTopics(Replier{Filter: "devices/+/get"})
	if err != nil {
		f.Fatal(err)
	}
	rules := Rules{Limits: Limits{}.Resolved()}
	f.Fuzz(func(t *testing.T, name, response, code, text string) {
		if r.Check(&rules, name, response, nil) == nil {
			levels := strings.Split(name, "/")
			own := len(levels) > 1 && levels[1] != "" && (response == "reply/"+levels[1] || strings.HasPrefix(response, "reply/"+levels[1]+"/"))
			if topic.ValidateName(response) != nil || !own && !isInbox(response) || len(response) > 4*256 {
				t.Errorf("a request on %q has a reply on %q", name, response)
			}
		}
		err := FailureIn([]session.UserProperty{{Key: statusCode, Value: code}, {Key: statusReason, Value: text}, {Key: statusMessage, Value: text}})
		if k := kerrors.FromError(err); err == nil || !isStatus(int(k.Code)) || len(k.Reason) > maxStatusReason || len(k.Message) > maxStatusMessage {
			t.Errorf("%v", err)
		}
	})
}
