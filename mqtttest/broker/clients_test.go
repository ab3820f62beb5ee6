package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	paho5 "github.com/eclipse/paho.golang/paho"
	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// inbox collects what a client received.
type inbox struct {
	mu   sync.Mutex
	seen []string
}

func (i *inbox) add(s string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.seen = append(i.seen, s)
}

func (i *inbox) expect(t *testing.T, want ...string) {
	t.Helper()
	mqtttest.Eventually(t, patience, func() error {
		i.mu.Lock()
		defer i.mu.Unlock()
		if fmt.Sprint(i.seen) != fmt.Sprint(want) {
			for n := range min(len(i.seen), len(want)) {
				if i.seen[n] != want[n] {
					return fmt.Errorf("message %d of %d is %q, want %q", n, len(i.seen), i.seen[n:min(n+10, len(i.seen))], want[n])
				}
			}
			return fmt.Errorf("%d messages, want %d", len(i.seen), len(want))
		}
		return nil
	})
}

func numbered(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint(i))
	}
	return list
}

func TestPahoOf311(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	var in inbox
	c := paho.NewClient(paho.NewClientOptions().AddBroker(b.URL()).SetClientID("c").SetProtocolVersion(4).SetCleanSession(false).
		SetAutoReconnect(false).SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { in.add(string(m.Payload())) }))
	wait := func(token paho.Token) {
		t.Helper()
		if !token.WaitTimeout(patience) || token.Error() != nil {
			t.Fatal(token.Error())
		}
	}
	wait(c.Connect())
	defer c.Disconnect(0)
	wait(c.Subscribe("t/#", 2, nil))
	for i, payload := range numbered(300) {
		wait(c.Publish("t/x", byte(i/100), false, payload))
	}
	in.expect(t, numbered(300)...)
	if c := b.Counts(); c.Violations+c.Dropped()+c.StrayAcks != 0 {
		t.Errorf("%+v", c)
	}
}

func TestPahoOf5(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	var in inbox
	c := paho5.NewClient(paho5.ClientConfig{Conn: conn, OnPublishReceived: []func(paho5.PublishReceived) (bool, error){
		func(p paho5.PublishReceived) (bool, error) {
			in.add(string(p.Packet.Payload) + p.Packet.Properties.User.Get("k"))
			return true, nil
		},
	}})
	if _, err := c.Connect(ctx, &paho5.Connect{ClientID: "c", KeepAlive: 30, CleanStart: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Subscribe(ctx, &paho5.Subscribe{Subscriptions: []paho5.SubscribeOptions{{Topic: "t/#", QoS: 2}}}); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i, payload := range numbered(300) {
		want = append(want, payload+"v")
		_, err := c.Publish(ctx, &paho5.Publish{Topic: "t/x", QoS: byte(i / 100), Payload: []byte(payload), Properties: &paho5.PublishProperties{
			User: paho5.UserProperties{{Key: "k", Value: "v"}},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	in.expect(t, want...)
	if err := c.Disconnect(&paho5.Disconnect{}); err != nil {
		t.Error(err)
	}
	if c := b.Counts(); c.Violations+c.Dropped()+c.StrayAcks != 0 {
		t.Errorf("%+v", c)
	}
}

// The programs of Mosquitto come with its broker, which CI has.
func TestMosquittoPrograms(t *testing.T) {
	t.Parallel()
	mqtttest.Mosquitto(t) // skips, or fails in CI, where they are missing
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t)
		host, port, _ := net.SplitHostPort(b.Addr())
		run := func(program string, args ...string) string {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			out, err := exec.CommandContext(ctx, program, append([]string{"-h", host, "-p", port, "-V", map[byte]string{4: "mqttv311", 5: "5"}[version]}, args...)...).CombinedOutput()
			var failed *exec.ExitError
			if err != nil && (!errors.As(err, &failed) || program == "mosquitto_pub") {
				t.Errorf("%s: %v: %s", program, err, out)
			}
			return string(out)
		}
		var out string
		var wg sync.WaitGroup
		wg.Go(func() { out = run("mosquitto_sub", "-t", "t/+", "-q", "2", "-C", "101", "-W", "10") })
		mqtttest.Eventually(t, patience, func() bool {
			s := b.Sessions()
			return len(s) == 1 && len(s[0].Filters) == 1
		})
		run("mosquitto_pub", "-t", "t/1", "-q", "1", "-m", "first")
		cmd := exec.Command("mosquitto_pub", "-h", host, "-p", port, "-t", "t/2", "-q", "2", "-l")
		cmd.Stdin = bytes.NewBufferString(strings.Join(numbered(100), "\n") + "\n")
		if got, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("mosquitto_pub -l: %v: %s", err, got)
		}
		wg.Wait()
		if want := "first\n" + strings.Join(numbered(100), "\n") + "\n"; out != want {
			t.Errorf("received %.300q", out)
		}
	})
}

// A client of the library comes back with its session after every cut.
func TestPahoOverCuts(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	rec := mqtttest.NewRecorder()
	sub := paho.NewClient(paho.NewClientOptions().AddBroker(b.URL()).SetClientID("sub").SetProtocolVersion(4).SetCleanSession(false).
		SetMaxReconnectInterval(20 * time.Millisecond).SetResumeSubs(true).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { rec.Handled(string(m.Payload())) }))
	if token := sub.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	defer sub.Disconnect(0)
	sub.Subscribe("t", 1, nil).WaitTimeout(patience)
	pub := connect(t, b, 4, "pub", true)
	for i, payload := range numbered(500) {
		if i%100 == 99 {
			b.Cut("sub")
		}
		rec.Attempted(payload)
		pub.publish(1, "t", 1, payload)
		rec.Accepted(payload)
	}
	mqtttest.Eventually(t, patience, func() error { return rec.Report().Err() })
}
