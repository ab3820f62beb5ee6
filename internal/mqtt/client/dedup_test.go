package client

import (
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
)

// Ids of different publishers have different keys, and every key is valid for a store.
func TestDedupKeys(t *testing.T) {
	t.Parallel()
	var s scopes
	first, release := s.claim("svc", "a/+")
	second, _ := s.claim("svc", "a/+")
	other, _ := s.claim("svc", "b")
	service, _ := s.claim("other", "c")
	again, _ := new(scopes).claim("svc", "a/+")
	if first == second || first == other || first == service || first != again {
		t.Errorf("scopes %s %s %s %s, at the next start %s", first, second, other, service, again)
	}
	release()
	if back, _ := s.claim("svc", "a/+"); back != first {
		t.Errorf("the free place is not taken: %s, want %s", back, first)
	}
	d := deduper{scope: first}
	seen := make(map[string]string)
	for _, id := range []string{"1", "a:b", "A", "a b", "\x00", "\x00\x00", "ü", strings.Repeat("x", 1000), strings.Repeat("x", 1001)} {
		key := d.key(arrivedOn("a/1"), id)
		if twin, ok := seen[key]; ok {
			t.Errorf("%q and %q are one", id, twin)
		}
		if seen[key] = id; len(key) > 200 || strings.ContainsAny(key, "\x00 ü") {
			t.Errorf("key %q", key)
		}
	}
	if key := d.key(arrivedOn("a/1"), "1"); !strings.Contains(key, "/"+first+"/") || !strings.HasSuffix(key, ":1") {
		t.Errorf("a plain id is not readable: %s", key)
	}
}

func arrivedOn(topic string, header ...string) *envelope.Event {
	in := &Inbound{Topic: topic, Properties: new(Properties)}
	for i := 0; i < len(header); i += 2 {
		in.Properties.User = append(in.Properties.User, UserProperty{Key: header[i], Value: header[i+1]})
	}
	e := &envelope.Event{Inbound: in}
	_ = new(envelope.Settings).Open(e, false)
	return e
}

// An id counts within its topic, the id of a CloudEvent also within its source, and a
// declared id as it declares.
func TestDedupKeysAreScoped(t *testing.T) {
	t.Parallel()
	event := func(topic, source string) *envelope.Event {
		return arrivedOn(topic, "specversion", "1.0", "id", "1", "source", source)
	}
	declared := event("a/1", "/A")
	declared.Identify("1")
	tenants := func(topic string) string { return topic[:2] }
	for name, tt := range map[string]struct {
		d    *deduper
		a, b *envelope.Event
		same bool
	}{
		"one topic":                          {&deduper{}, arrivedOn("a/1"), arrivedOn("a/1"), true},
		"two topics":                         {&deduper{}, arrivedOn("a/1"), arrivedOn("a/2"), false},
		"one source":                         {&deduper{}, event("a/1", "/A"), event("a/1", "/A"), true},
		"two sources":                        {&deduper{}, event("a/1", "/A"), event("a/1", "/B"), false},
		"a source on two topics":             {&deduper{}, event("a/1", "/A"), event("a/2", "/A"), false},
		"source and topic, cut elsewhere":    {&deduper{}, event("a/1", "2"), event("a/12", ""), false},
		"a source without an event":          {&deduper{}, arrivedOn("a/1", "source", "/A"), arrivedOn("a/1", "source", "/B"), true},
		"declared, in events of two sources": {&deduper{}, declared, arrivedOn("a/1"), true},
		"spanning, two topics":               {&deduper{span: true}, arrivedOn("a/1"), arrivedOn("b/2"), true},
		"spanning, one source":               {&deduper{span: true}, event("a/1", "/A"), event("b/2", "/A"), true},
		"spanning, two sources":              {&deduper{span: true}, event("a/1", "/A"), event("a/1", "/B"), false},
		"spanning, two tenants":              {&deduper{span: true, levels: tenants}, arrivedOn("a/1"), arrivedOn("b/1"), false},
		"spanning, one tenant":               {&deduper{span: true, levels: tenants}, arrivedOn("a/1"), arrivedOn("a/2"), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if a, b := tt.d.key(tt.a, "1"), tt.d.key(tt.b, "1"); (a == b) != tt.same {
				t.Errorf("%s and %s", a, b)
			}
		})
	}
}

// The key is made once for a message.
func TestDedupKeyAllocations(t *testing.T) {
	e, d := arrivedOn("devices/sensor-1/data", "id", "1"), deduper{scope: "0123456789abcdef"}
	if n := testing.AllocsPerRun(100, func() { d.key(e, "0192e4a0-7a3b-7c51-8d1f-3e2c9b4a5d6e") }); n > 2 {
		t.Errorf("%v allocations", n)
	}
}
