package explain

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// Places of settings other than a configuration. A setting is named as its key there.
const (
	fromDefault = "default"
	fromProto   = ".proto"
)

// sheet collects the settings of an operation. The configuration of the subscription takes
// precedence over the .proto file, and that over the configuration of all subscriptions.
type sheet struct {
	all   *v1.Subscriber
	named *v1.Subscription
	place string // of all
	key   string // of named
	rows  []Setting
}

func (s *sheet) add(name, value, from string) {
	s.rows = append(s.rows, Setting{Name: name, Value: value, From: from})
}

// choice is a value that may be set in a place.
type choice struct {
	set         bool
	value, from string
}

// first adds the first choice that is set.
func (s *sheet) first(name string, choices ...choice) {
	for _, c := range choices {
		if c.set {
			s.add(name, c.value, c.from)
			return
		}
	}
}

// otherwise is the default.
func otherwise(value string) choice { return choice{true, value, fromDefault} }

func count(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func (s *sheet) one(key string) string  { return s.key + "." + key }
func (s *sheet) each(key string) string { return s.place + "." + key }

// named returns the configuration of an operation or filter, as the client finds it.
func (s *Service) named(names ...string) (string, *v1.Subscription) {
	for _, name := range names {
		if c, ok := s.Subscriber.GetSubscriptions()[name]; ok {
			return s.Place + ".subscriptions." + name, c
		}
	}
	return "", nil
}

func (s *Service) settings(m *eventproto.Method, i int, b *Binding) []Setting {
	filter := s.prefix() + m.Filters[i]
	t := &sheet{all: s.Subscriber, place: s.Place}
	t.key, t.named = s.named(m.Operation, filter)
	t.subscription(m, filter, s.named)
	t.add("qos", strconv.Itoa(int(m.QoS)), fromProto)
	t.add("codec", m.Codec, fromProto)
	t.identity(m, b)
	t.attempts(m)
	t.outcome(m, s, b)
	t.rest(m)
	return t.rows
}

// subscription adds what is subscribed to.
func (s *sheet) subscription(m *eventproto.Method, filter string, named func(...string) (string, *v1.Subscription)) {
	group, from := m.Group, fromProto
	if s.named != nil && s.named.Group != nil {
		group, from = s.named.GetGroup(), s.one("group")
	}
	shared, err := topic.Share(group, filter)
	switch {
	case group == "" && from == fromProto:
		s.add("group", noGroup, fromDefault)
	case group == "":
		s.add("group", noGroup, from)
	case err != nil:
		s.add("group", group+": "+err.Error(), from)
	default:
		s.add("group", group, from)
		if filter = shared; s.named == nil {
			s.key, s.named = named(shared)
		}
	}
	s.first("subscription",
		choice{topic.IsShared(filter) && s.all.GetSharedGroupPrefix() != "", topic.SharedAs(s.all.GetSharedGroupPrefix(), filter), s.each("shared_group_prefix")},
		choice{true, filter, fromProto})
}

const noGroup = "none: every instance receives every message"

// identity adds key and id.
func (s *sheet) identity(m *eventproto.Method, b *Binding) {
	scope := "within its topic"
	if m.KeysSpanTopics {
		scope = "over all topics of the filter"
	}
	value := func(field, value string) string {
		if value == "" {
			return "field " + field
		}
		return fmt.Sprintf("field %s, here %q", field, value)
	}
	s.first("ordering_key",
		choice{m.KeyField != "", value(m.KeyField, b.Key) + ", " + scope, fromProto},
		otherwise("the topic: its messages are handled one at a time, in order"))
	within := ", unique within its topic"
	if m.IDsSpanTopics {
		within = ", unique over all topics of the operation"
	}
	id := eventproto.Path(m.ID)
	s.first("id", choice{id != "", value(id, b.ID) + within, fromProto}, otherwise("of the header, or of the CloudEvent"+within))
}

// attempts adds how a handler is called and called again.
func (s *sheet) attempts(m *eventproto.Method) {
	one, all := s.named, s.all
	r := m.Retry
	if r == nil {
		r = new(event.RetryDesc)
	}
	s.first("concurrency",
		choice{one.GetConcurrency() > 0, count(one.GetConcurrency()), s.one("concurrency")},
		choice{all.GetConcurrency() > 0, fmt.Sprintf("%d for all subscriptions", all.GetConcurrency()), s.each("concurrency")},
		otherwise(fmt.Sprintf("%d for all subscriptions", client.DefaultConcurrency)))
	s.duration("handler_timeout", one.GetHandlerTimeout(), 0, all.GetHandlerTimeout(), client.DefaultHandlerTimeout)
	s.duration("retry_budget", one.GetRetryBudget(), 0, all.GetRetryBudget(), client.DefaultRetryBudget)
	s.first("retry.max_attempts",
		choice{one.GetRetry().GetMaxAttempts() > 0, count(one.GetRetry().GetMaxAttempts()), s.one("retry.max_attempts")},
		choice{r.MaxAttempts > 0, strconv.Itoa(r.MaxAttempts), fromProto},
		choice{all.GetRetry().GetMaxAttempts() > 0, count(all.GetRetry().GetMaxAttempts()), s.each("retry.max_attempts")},
		otherwise("as many as the budget allows"))
	s.duration("retry.min_backoff", one.GetRetry().GetMinBackoff(), r.MinBackoff, all.GetRetry().GetMinBackoff(), delivery.DefaultMinBackoff)
	s.duration("retry.max_backoff", one.GetRetry().GetMaxBackoff(), r.MaxBackoff, all.GetRetry().GetMaxBackoff(), delivery.DefaultMaxBackoff)
}

func (s *sheet) duration(key string, one *durationpb.Duration, code time.Duration, all *durationpb.Duration, def time.Duration) {
	text := func(d *durationpb.Duration) string {
		if key == "retry_budget" && d.AsDuration() == 0 {
			return "0s: one attempt"
		}
		return d.AsDuration().String()
	}
	s.first(key,
		choice{one != nil, text(one), s.one(key)}, choice{code > 0, code.String(), fromProto}, choice{all != nil, text(all), s.each(key)},
		otherwise(def.String()))
}

// outcome adds what happens to a message that cannot be handled.
func (s *sheet) outcome(m *eventproto.Method, service *Service, b *Binding) {
	one, all := s.named, s.all
	s.first("exhausted", choice{one.GetExhausted() != "", one.GetExhausted(), s.one("exhausted")}, otherwise(string(event.ExhaustedDeadLetter)))
	if r := m.Retry; r != nil && len(r.PermanentReasons) > 0 {
		s.add("retry.permanent_reasons", strings.Join(r.PermanentReasons, ", "), fromProto)
	}
	for _, reason := range slices.Sorted(maps.Keys(one.GetReasons())) {
		s.add("reasons."+reason, one.GetReasons()[reason], s.one("reasons."+reason))
	}
	letters, from := m.DeadLetter != nil, fromProto
	text := m.MethodDesc.DeadLetter
	if one != nil && one.DeadLetter != nil {
		text, from, letters = one.GetDeadLetter(), s.one("dead_letter"), one.GetDeadLetter() != ""
	}
	s.first("dead_letter_topic",
		choice{letters, service.letterTopic(text, b), from},
		choice{all.GetDeadLetterTopic() != "", all.GetDeadLetterTopic(), s.each("dead_letter_topic")},
		otherwise("none: letters are only stored"))
	s.first("breaker", breakerOf(one.GetBreaker(), s.one("breaker")), breakerOf(all.GetBreaker(), s.each("breaker")),
		otherwise("none: an outage of a dependency makes dead letters"))
}

func breakerOf(b *v1.Breaker, from string) choice {
	if b == nil {
		return choice{}
	}
	failures := uint32(event.DefaultBreakerFailures)
	if b.Failures != nil {
		failures = b.GetFailures()
	}
	if failures == 0 {
		return choice{true, "none", from}
	}
	window, pause := event.DefaultBreakerWindow, event.DefaultBreakerPause
	if b.GetWindow() != nil {
		window = b.GetWindow().AsDuration()
	}
	if b.GetPause() != nil {
		pause = b.GetPause().AsDuration()
	}
	return choice{true, fmt.Sprintf("after %d failures within %v, for %v", failures, window, pause), from}
}

// rest adds session, trust and what only some methods have.
func (s *sheet) rest(m *eventproto.Method) {
	one := s.named
	session := "-" + cmp.Or(one.GetSessionName(), client.SessionName(m.Name))
	s.first("session", choice{one.GetSession() == "own", "its own: the client id ends with " + session, s.one("session")}, otherwise("the common one"))
	s.flag("trust_sender", one != nil && one.TrustSender != nil, one.GetTrustSender(), m.TrustSender,
		"trace context, baggage and metadata of the sender are used", "context of the sender is not used")
	s.flag("ignore_retained", one != nil && one.IgnoreRetained != nil, one.GetIgnoreRetained(), m.IgnoreRetained,
		"retained messages are acknowledged without calling the handler", "retained messages are handled as any other")
	if r := m.Reply; r != nil {
		s.add("reply", fmt.Sprintf("QoS %d; a client waits %v", r.QoS, r.Timeout), fromProto)
	}
	if b := m.Batch; b != nil {
		s.add("batch", fmt.Sprintf("up to %d messages within %v, if a batch handler is registered", b.MaxSize, b.MaxWait), fromProto)
	}
}

func (s *sheet) flag(name string, configured, value, code bool, on, off string) {
	text := map[bool]string{true: on, false: off}
	s.first(name, choice{configured, text[value], s.one(name)}, choice{code, text[true], fromProto}, otherwise(text[false]))
}
