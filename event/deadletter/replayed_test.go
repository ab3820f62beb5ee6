package deadletter_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

func edited() deadletter.Replayed {
	return deadletter.Replayed{Count: 7, Edit: deadletter.Edit{
		By: "Grace H.", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), SHA256: strings.Repeat("0f", 32),
	}}
}

// A replayed message carries what was done to it, signed for its topic and payload where there are
// keys; what does not fit is not believed, and is in no letter.
func TestMarkReplayed(t *testing.T) {
	t.Parallel()
	keys := deadletter.SigningKeys{key("n"), key("k")}
	own := []message.Header{{Key: "a", Value: "1"}, {Key: "DEAD-LETTER-REPLAYED", Value: "999"}}
	marked := func(k deadletter.SigningKeys, r deadletter.Replayed) *message.Message {
		m := &message.Message{Topic: "plant/1", Payload: []byte("x"), Headers: own}
		k.MarkReplayed(m, r)
		return m
	}
	for name, test := range map[string]struct {
		m    *message.Message
		keys deadletter.SigningKeys
		want deadletter.Replayed
	}{
		"without keys":   {marked(nil, edited()), nil, edited()},
		"count only":     {marked(nil, deadletter.Replayed{Count: 1}), nil, deadletter.Replayed{Count: 1}},
		"never replayed": {marked(nil, deadletter.Replayed{}), nil, deadletter.Replayed{}},
		"signed":         {marked(keys, edited()), keys, edited()},
		"an older key":   {marked(keys[1:], edited()), keys, edited()},
		"another key":    {marked(deadletter.SigningKeys{key("x")}, edited()), keys, deadletter.Replayed{}},
		"not signed":     {marked(nil, edited()), keys, deadletter.Replayed{}},
		"another topic": {func() *message.Message {
			m := marked(keys, edited())
			m.Topic = "plant/2"
			return m
		}(), keys, deadletter.Replayed{}},
		"another payload": {func() *message.Message {
			m := marked(keys, edited())
			m.Payload = []byte("y")
			return m
		}(), keys, deadletter.Replayed{}},
	} {
		if got := test.keys.TakeReplayed(test.m); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
		if want := own[:1]; !slices.Equal(test.m.Headers, want) {
			t.Errorf("%s: headers %v are left, want %v", name, test.m.Headers, want)
		}
	}
	if len(own) != 2 || own[1].Value != "999" {
		t.Errorf("the caller's headers were changed: %v", own)
	}
}

func TestParseReplayed(t *testing.T) {
	t.Parallel()
	for _, r := range []deadletter.Replayed{{}, {Count: 1}, {Count: deadletter.MaxReplays}, edited()} {
		if got, err := deadletter.ParseReplayed(r.String()); err != nil || got != r {
			t.Errorf("%q: %+v, %v", r, got, err)
		}
	}
	hash := strings.Repeat("0f", 32)
	for _, text := range []string{
		"0", "-1", "1001", "99999999999999999999", "x", "1 ", "1 2", " 1", "1 2026-01-02T03:04:05Z " + hash, "1 yesterday " + hash + " a",
		"1 2026-01-02T03:04:05Z 0f a", "1 2026-01-02T03:04:05Z " + hash + " a\nb", "1 2026-01-02T03:04:05Z " + hash + " " + strings.Repeat("x", 65),
		strings.Repeat("1", 70_000),
	} {
		if got, err := deadletter.ParseReplayed(text); err == nil {
			t.Errorf("%.80q is %+v", text, got)
		}
	}
	long := deadletter.Replayed{Count: 5000, Edit: edited().Edit}
	long.Edit.By = strings.Repeat("\x00é", 100)
	got, err := deadletter.ParseReplayed(long.String())
	if err != nil || got.Count != deadletter.MaxReplays || got.Edit.By != strings.Repeat("é", 32) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestPattern(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]string{
		"":                                   "",
		"order 17 not found":                 "order # not found",
		`customer "a \"b\" c" is not here`:   `customer "…" is not here`,
		"open `x":                            `open "…"`,
		"dial tcp 10.0.0.7:5432: refused":    "dial tcp # refused",
		"018bcfe5-6800-7000-8000-00000000ff": "#",
		"no such customer":                   "no such customer",
		"x\x00\xffy":                         "xy",
	} {
		if got := (&deadletter.Letter{Reason: reason}).Pattern(); got != want {
			t.Errorf("%q: %q, want %q", reason, got, want)
		}
	}
	long := &deadletter.Letter{Reason: strings.Repeat("é 1 ", 100_000)}
	if n := len(long.Pattern()); n > 512 {
		t.Errorf("a pattern of %d bytes", n)
	}
	a, b := &deadletter.Letter{Reason: "order 1", Filter: "f"}, &deadletter.Letter{Reason: "order 2", Filter: "f"}
	if a.Fingerprint() != b.Fingerprint() || len(a.Fingerprint()) != 16 {
		t.Errorf("%s and %s", a.Fingerprint(), b.Fingerprint())
	}
	for name, other := range map[string]*deadletter.Letter{
		"filter": {Reason: "order 1", Filter: "g"}, "operation": {Reason: "order 1", Filter: "f", Operation: "/a.B/C"},
		"error type": {Reason: "order 1", Filter: "f", ErrorType: "X"}, "reason": {Reason: "orders 1", Filter: "f"},
	} {
		if other.Fingerprint() == a.Fingerprint() {
			t.Errorf("another %s has the same fingerprint", name)
		}
	}
}

// FuzzParseReplayed wants what is parsed to be what is written.
func FuzzParseReplayed(f *testing.F) {
	f.Add("1")
	f.Add(edited().String())
	f.Fuzz(func(t *testing.T, text string) {
		r, err := deadletter.ParseReplayed(text)
		if err != nil {
			return
		}
		if again, err := deadletter.ParseReplayed(r.String()); err != nil || again != r {
			t.Errorf("%q: %+v, then %+v, %v", text, r, again, err)
		}
	})
}
