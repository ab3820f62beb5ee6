package configfile_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/configfile"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// environment is the environment of placeholders.
var environment = map[string]string{
	"NAME": "value", "EMPTY": "", "YES": "true", "NUMBER": "7", "PAUSE": "1m", "LIST": "mqtt://a, mqtt://b", "ONE": "mqtt://a",
	"SECRET": "hunter2", "ODD": "a: [b", "SEVEN": "007",
}

func lookup(name string) (string, bool) {
	value, ok := environment[name]
	return value, ok
}

func parse(text string, m proto.Message, checks ...func() error) error {
	return configfile.Parse("c.yaml", []byte(text), m, lookup, checks...)
}

// TestValues checks the message that each text is read into.
func TestValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       proto.Message
	}{
		{"nothing", "", &v1.Connection{}},
		{"a comment", "# nothing\n", &v1.Connection{}},
		{"text", "client_id: me", &v1.Connection{ClientId: "me"}},
		{"the name in JSON", "clientId: me", &v1.Connection{ClientId: "me"}},
		{"JSON", `{"clientId": "me", "addresses": ["a"]}`, &v1.Connection{ClientId: "me", Addresses: []string{"a"}}},
		{"a number as text", "client_id: 007", &v1.Connection{ClientId: "007"}},
		{"a date as text", "client_id: 2026-01-02", &v1.Connection{ClientId: "2026-01-02"}},
		{"true as text", "client_id: true", &v1.Connection{ClientId: "true"}},
		{"no text", "client_id:", &v1.Connection{}},
		{"a duration", "keep_alive: 1m30s", &v1.Connection{KeepAlive: durationpb.New(90 * time.Second)}},
		{"a fraction of a second", "keep_alive: 1.5s", &v1.Connection{KeepAlive: durationpb.New(1500 * time.Millisecond)}},
		{"a zero that is written", "session_expiry: 0s", &v1.Connection{SessionExpiry: durationpb.New(0)}},
		{"a bool that is written", "clean_session: false", &v1.Connection{CleanSession: new(false)}},
		{"a list", "addresses: [a, b]", &v1.Connection{Addresses: []string{"a", "b"}}},
		{"an empty list", "addresses: []", &v1.Connection{}},
		{"a map", "websocket_headers: {X-A: 1, x-b: two}", &v1.Connection{WebsocketHeaders: map[string]string{"X-A": "1", "x-b": "two"}}},
		{"an empty section", "tls: {}", &v1.Connection{Tls: &v1.TLS{}}},
		{"an anchor", "username: &a me\npassword: *a", &v1.Connection{Username: "me", Password: "me"}},
		{"a merge", "will: &w {topic: a, qos: 1}\ntls: {}\n", &v1.Connection{Will: &v1.Will{Topic: "a", Qos: 1}, Tls: &v1.TLS{}}},
		{"a placeholder", "client_id: ${NAME}", &v1.Connection{ClientId: "value"}},
		{"a placeholder in text", "client_id: a-${NAME}-${NUMBER}", &v1.Connection{ClientId: "a-value-7"}},
		{"a default", "client_id: ${NONE:me}", &v1.Connection{ClientId: "me"}},
		{"a default with colons", "addresses: ['${NONE:mqtt://h:1883}']", &v1.Connection{Addresses: []string{"mqtt://h:1883"}}},
		{"an empty default", "client_id: '${NONE:}'", &v1.Connection{}},
		{"an empty variable", "client_id: ${EMPTY:me}", &v1.Connection{ClientId: "me"}},
		{"a variable over its default", "password: ${SECRET:}", &v1.Connection{Password: "hunter2"}},
		{"what looks like YAML in a variable", "password: ${ODD}", &v1.Connection{Password: "a: [b"}},
		{"an escaped placeholder", "password: a$${NAME}$b", &v1.Connection{Password: "a${NAME}$b"}},
		{"a bool by placeholder", "clean_session: ${YES}", &v1.Connection{CleanSession: new(true)}},
		{"a bool by default", `clean_session: "${NONE:false}"`, &v1.Connection{CleanSession: new(false)}},
		{"an unset bool by placeholder", "clean_session: '${NONE:}'", &v1.Connection{}},
		{"a duration by placeholder", "keep_alive: ${PAUSE}", &v1.Connection{KeepAlive: durationpb.New(time.Minute)}},
		{"a list by placeholder", "addresses: ${LIST}", &v1.Connection{Addresses: []string{"mqtt://a", "mqtt://b"}}},
		{"an empty list by placeholder", "addresses: '${NONE:}'", &v1.Connection{}},
		{"items by placeholder", "addresses: ['${ONE}', '${NONE:}']", &v1.Connection{Addresses: []string{"mqtt://a"}}},
		{"a number", "concurrency: 4", &v1.Subscriber{Concurrency: 4}},
		{"a number by placeholder", "concurrency: ${NUMBER}", &v1.Subscriber{Concurrency: 7}},
		{"a number with presence", "subscriptions: {a/b: {park_max_attempts: 0}}", &v1.Subscriber{Subscriptions: map[string]*v1.Subscription{"a/b": {ParkMaxAttempts: new(uint32(0))}}}},
		{"sections in a map", "subscriptions: {'#': {session: own}}", &v1.Subscriber{Subscriptions: map[string]*v1.Subscription{"#": {Session: "own"}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := c.want.ProtoReflect().New().Interface()
			if err := parse(c.text, got); err != nil || !proto.Equal(got, c.want) {
				t.Errorf("%v, %v, want %v", protojson.Format(got), err, protojson.Format(c.want))
			}
		})
	}
}

// TestProblems checks that each text is refused, with the place of the problem.
func TestProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"no YAML", "a: [", "c.yaml:1: is not YAML: did not find expected node content"},
		{"a tab", "a:\n\tb: 1", "c.yaml:2: is not YAML: found character that cannot start any token"},
		{"two documents", "mqtt: {}\n---\nmqtt: {}", "c.yaml:2: has a second document, want only one"},
		{"a list as root", "- a", "c.yaml:1: is a list, want keys with values"},
		{"an unknown section", "mqtt: {}\nmqqt: {}", "c.yaml:2: mqqt: unknown key, did you mean mqtt?"},
		{"an unknown key", "mqtt:\n  connection:\n    keepalive: 30s", "c.yaml:3: mqtt.connection.keepalive: unknown key, did you mean keep_alive?"},
		{"a key of something else", "mqtt: {outbox: {colour: red}}", "c.yaml:1: mqtt.outbox.colour: unknown key; known keys are driver, keep_acknowledged, "},
		{"a duration without unit", "mqtt:\n  connection: {keep_alive: 30}", "c.yaml:2: mqtt.connection.keep_alive: want a duration with a unit, such as 30s or 1h30m"},
		{"text as a list", "mqtt: {connection: {addresses: mqtt://h}}", "c.yaml:1: mqtt.connection.addresses: is text, want a list, as in [a, b]"},
		{"a section as a list", "mqtt: {connection: {addresses: {a: b}}}", "c.yaml:1: mqtt.connection.addresses: is a section of keys, want a list, as in [a, b]"},
		{"a list as text", "mqtt: {connection: {client_id: [a]}}", "c.yaml:1: mqtt.connection.client_id: is a list, want text"},
		{"a list as a number", "server: {mqtt: {concurrency: [1]}}", "c.yaml:1: server.mqtt.concurrency: is a list, want a whole number from 0 to 4294967295"},
		{"text as a section", "mqtt: yes", "c.yaml:1: mqtt: is text, want keys with values"},
		{"an empty section", "server:\n  mqtt:\n", "c.yaml:2: server.mqtt: is empty; write {} for defaults, or leave the key out"},
		{"text as a number", "server: {mqtt: {concurrency: many}}", "c.yaml:1: server.mqtt.concurrency: want a whole number from 0 to 4294967295"},
		{"a negative number", "server: {mqtt: {queue: -1}}", "c.yaml:1: server.mqtt.queue: want a whole number from 0 to 4294967295"},
		{"a fraction", "server: {mqtt: {queue: 1.5}}", "c.yaml:1: server.mqtt.queue: want a whole number from 0 to 4294967295"},
		{"a large number", "server: {mqtt: {queue: 5000000000}}", "c.yaml:1: server.mqtt.queue: want a whole number from 0 to 4294967295"},
		{"text as a float", "device: {temperature_limit: hot}", "c.yaml:1: device.temperature_limit: want a number"},
		{"text as a bool", "mqtt: {connection: {auto_reconnect: yes}}", "c.yaml:1: mqtt.connection.auto_reconnect: want true or false"},
		{"text as a map", "mqtt: {connection: {websocket_headers: a}}", "c.yaml:1: mqtt.connection.websocket_headers: is text, want keys with values"},
		{"a list in a map", "mqtt: {connection: {websocket_headers: {a: [b]}}}", "c.yaml:1: mqtt.connection.websocket_headers.a: is a list, want text"},
		{"a key twice", "device: {offline_after: 1s,\n  offlineAfter: 2s}", "c.yaml:2: device.offline_after: is set twice, also in line 1"},
		{"a key of a map twice", "mqtt: {connection: {websocket_headers: {a: , a: x}}}", "c.yaml:1: mqtt.connection.websocket_headers.a: is set twice"},
		{"a key as a list", "? [a]\n: b", "c.yaml:1: has a key that is a list, want text"},
		{"a variable that is not there", "mqtt:\n  connection:\n    password: ${NONE}", "c.yaml:3: mqtt.connection.password: ${NONE} has no value: set the environment variable NONE, or write a default, as in ${NONE:default}"},
		{"an empty variable", "mqtt: {connection: {client_id: '${EMPTY}'}}", "c.yaml:1: mqtt.connection.client_id: ${EMPTY} has no value"},
		{"an unclosed placeholder", "mqtt: {connection: {client_id: '${NAME'}}", "c.yaml:1: mqtt.connection.client_id: has ${ without }"},
		{"a placeholder without a name", "mqtt: {connection: {client_id: '${}'}}", "c.yaml:1: mqtt.connection.client_id: has ${...} without the name"},
		{"a placeholder of another type", "mqtt: {connection: {clean_session: '${NAME}'}}", "c.yaml:1: mqtt.connection.clean_session: want true or false"},
		{"a placeholder without a unit", "mqtt: {connection: {keep_alive: '${NUMBER}'}}", "c.yaml:1: mqtt.connection.keep_alive: want a duration"},
		{"text around a list", "mqtt: {connection: {addresses: 'a,${ONE}'}}", "c.yaml:1: mqtt.connection.addresses: is text, want a list"},
		{"an alias without an anchor", "a: 1\nmqtt: *a", "c.yaml:2: is not YAML: unknown anchor"},
		{"a merge of text", "mqtt: {connection: {<<: me}}", "c.yaml:1: mqtt.connection: merges (<<) text, want keys with values"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := parse(c.text, new(conf.Bootstrap))
			var problems configfile.FileErrors
			if !errors.As(err, &problems) || len(problems) != 1 || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

// TestAllProblemsInOrder has several problems in one file and in the results of checks.
func TestAllProblemsInOrder(t *testing.T) {
	t.Parallel()
	const text = `mqtt:
  connection:
    keep_alive: 30
    write_timeout: 10s
    colour: blue
data:
  database: {driver: 5, source: x}
`
	check := func() error {
		return fmt.Errorf("settings: %w", errors.Join(
			&event.SettingError{Section: "kratosmqtt.v1.Connection", Key: "keep_alive", Text: "is not there"}, // reported as unreadable already
			&event.SettingError{Section: "kratosmqtt.v1.Connection", Key: "write_timeout", Text: "is above keep_alive"},
			&event.SettingError{Section: "kratosmqtt.v1.Connection", Key: "addresses", Text: "is empty"},
			&event.SettingError{Section: "kratosmqtt.v1.Outbox", Key: "driver", Text: "is unknown"},
			&event.SettingError{Key: "data.database.driver", Text: "want sqlite"},
			errors.New("nothing runs"),
		))
	}
	want := `c.yaml:2: mqtt.connection.addresses: is empty
c.yaml:3: mqtt.connection.keep_alive: want a duration with a unit, such as 30s or 1h30m
c.yaml:4: mqtt.connection.write_timeout: is above keep_alive
c.yaml:5: mqtt.connection.colour: unknown key; known keys are `
	last := `c.yaml:7: data.database.driver: want sqlite
c.yaml: outbox.driver: is unknown
c.yaml: nothing runs`
	for range 20 {
		err := parse(text, new(conf.Bootstrap), check)
		if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(), last) || len(strings.Split(err.Error(), "\n")) != 7 {
			t.Fatalf("got\n%v\nwant\n%s…\n%s", err, want, last)
		}
	}
}

// TestAliasesThatMultiply reads a small file whose aliases expand to very many values.
func TestAliasesThatMultiply(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("a0: &a0 {x: y}\n")
	for i := 1; i < 30; i++ {
		fmt.Fprintf(&b, "a%d: &a%d {l: *a%d, r: *a%d}\n", i, i, i-1, i-1)
	}
	if err := parse(b.String(), new(conf.Bootstrap)); err == nil {
		t.Error("err = nil, want unknown keys")
	}
	b.Reset()
	b.WriteString("mqtt: &m {connection: {websocket_headers: {<<: *m}}}\n")
	_ = parse(b.String(), new(conf.Bootstrap)) // must return
}

func TestLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := configfile.Load(path, new(v1.Connection)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("err = %v", err)
	}
	if err := os.WriteFile(path, []byte("client_id: ${PATH}"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := new(v1.Connection)
	if err := configfile.Load(path, c); err != nil || c.GetClientId() != os.Getenv("PATH") {
		t.Errorf("%v, %v", c, err)
	}
}

// FuzzParse checks that every invalid text is an error, and that no error quotes a secret.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "mqtt: {connection: {addresses: [a], password: hunter#2}}", "a: &a [*a]", "<<: {a: b}", "mqtt: !!binary aGk=", "? - a\n: b", "a: ${", "\x00", "mqtt: {connection: {will: {payload: !!binary aGk=}}}"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m := new(conf.Bootstrap)
		if err := parse(text, m); err != nil && strings.Contains(err.Error(), "hunter#2") {
			t.Errorf("a value is quoted: %v", err)
		}
	})
}
