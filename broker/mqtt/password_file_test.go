package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/proto"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// secret is a password file, which is replaced like those of Kubernetes.
type secret struct {
	t    *testing.T
	path string
}

func newSecret(t *testing.T, password string) *secret {
	t.Helper()
	s := &secret{t, filepath.Join(t.TempDir(), "password")}
	s.put(password)
	return s
}

func (s *secret) put(password string) {
	s.t.Helper()
	err := os.WriteFile(s.path+".new", []byte(password), 0o600)
	if err = errors.Join(err, os.Rename(s.path+".new", s.path)); err != nil {
		s.t.Fatal(err)
	}
}

// A new password is taken from the file while messages flow, whichever of the broker and
// the service gets to know it first. A file that cannot be used, or whose password is
// refused, leaves the old password in use, which is logged once. No message is lost.
func TestPasswordFileRotates(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"3.1.1", "5"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			rotatePassword(t, version)
		})
	}
}

func rotatePassword(t *testing.T, version string) {
	t.Helper()
	var valid atomic.Pointer[string]
	accept := func(password string) { valid.Store(&password) }
	accept("first")
	proxy := mqtttest.NewProxy(t, mqtttest.InProcess(t, testbroker.WithAuthentication(func(_, _, given string) byte {
		if given == *valid.Load() {
			return 0
		}
		return 0x87
	})).URL())
	file := newSecret(t, "first\n")
	c := &v1.Settings{
		Connection: &v1.Connection{Addresses: []string{proxy.URL()}, ClientId: "secret", Username: "ann", PasswordFile: file.path, Protocol: version},
		Subscriber: new(v1.Subscriber),
	}
	b, out := logged(t, proxy.URL(), mqttbroker.WithProtocol(""), mqttbroker.WithConnectionConfig(c.Connection),
		mqttbroker.WithSubscriberConfig(c.Subscriber), mqttbroker.WithMaxReconnectInterval(patience*100)) // refused logins are tried slowly
	var mu sync.Mutex
	received := make(map[string]bool)
	_, err := b.Subscribe("secret", func(_ context.Context, e broker.Event) error {
		mu.Lock()
		defer mu.Unlock()
		received[string(e.Message().Body.([]byte))] = true
		return nil
	}, nil, broker.WithSubscribeContext(t.Context()))
	if err = errors.Join(err, b.Connect()); err != nil {
		t.Fatal(err)
	}
	sent := 0
	send := func() {
		t.Helper()
		for range 20 {
			publish(t, b, "secret", sent)
			sent++
		}
	}
	logs := func(part string, n int) {
		t.Helper()
		advances(t, 1, func() int { return min(1, out.matches(part)/n) }, func() any { return out })
	}
	send()

	file.put("second") // before the broker knows it
	logs("the broker refuses the new login", 1)
	send()
	logs("mqtt: connected messaging.client.id=secret .*session_present=true", 1)
	accept("second")
	proxy.Cut()
	logs("mqtt: connected messaging.client.id=secret .*session_present=true", 2)
	send()

	accept("third") // before the service knows it
	proxy.Cut()
	logs("not authorized", 2)
	file.put("third\r\n")
	send()

	file.put("")
	logs("connection.password_file is not used, the old password stays in use error.message=the file is empty", 1)
	proxy.Cut()
	send()

	next := proto.CloneOf(c)
	next.Subscriber.Concurrency = 3
	if err := b.Reload(next); err != nil { // although the file is empty
		t.Error(err)
	}
	other := newSecret(t, "fourth")
	next.Connection.PasswordFile = other.path
	accept("fourth")
	if err := b.Reload(next); err != nil {
		t.Error(err)
	}
	proxy.Cut()
	send()
	advances(t, sent, func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(received)
	}, func() any { return out })
	if n := out.count("connection.password_file is not used"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	for _, password := range []string{"first", "second", "third", "fourth"} {
		if text := fmt.Sprint(out); strings.Contains(text, password) {
			t.Errorf("the log has a password: %s", text)
		}
	}
}

// What is wrong with a password file is reported with its key before anything connects.
func TestPasswordFileProblems(t *testing.T) {
	t.Parallel()
	file := newSecret(t, "\n")
	for want, c := range map[string]*v1.Connection{
		"connection.password_file: the file is empty":                         {PasswordFile: file.path},
		"connection.password_file: excludes password":                         {PasswordFile: file.path, Password: "x"},
		"connection.password_file: open " + file.path + ".none: no such file": {PasswordFile: file.path + ".none"},
	} {
		c.Addresses, c.Username = []string{"mqtt://127.0.0.1:1"}, "ann"
		err := mqttbroker.NewBroker(mqttbroker.WithConnectionConfig(c)).Init()
		var key *event.SettingError
		if !errors.As(err, &key) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
