package mqtttest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func TestMosquittoKillLosesWhatIsNotSaved(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	dial(t, b.URL(), "keeper", persistent).subscribe(t, "a", 1)
	b.Kill()
	b.Start()
	again := dial(t, b.URL(), "keeper", persistent)
	pub := dial(t, b.URL(), "pub")
	pub.publish(t, "a", 1, "x")
	again.subscribe(t, "b", 1)
	pub.publish(t, "b", 1, "y")
	again.expect(t, "b y") // and not "a x": the subscription died with the process
}

func TestMosquittoPauseAnswersNothingUntilResume(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	c := dial(t, b.URL(), "c")
	b.Pause()
	token := c.Publish("a", 1, false, "x")
	if token.WaitTimeout(100 * time.Millisecond) {
		t.Fatalf("a paused broker acknowledged: %v", token.Error())
	}
	b.Resume()
	if err := done(token); err != nil {
		t.Fatal(err)
	}
}

func TestMosquittoOptions(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t,
		mqtttest.WithMaxInflight(3),
		mqtttest.WithACL("topic readwrite open/#"),
		mqtttest.WithConfig("log_type all"))
	if got := b.Features().MaxInflight; got != 3 {
		t.Errorf("MaxInflight %d", got)
	}
	c := dial(t, b.URL(), "c")
	c.subscribe(t, "#", 1)
	_ = done(dial(t, b.URL(), "denied").Publish("closed/x", 1, false, "no")) // this version ends the connection
	c.publish(t, "open/x", 1, "yes")
	c.expect(t, "open/x yes")
	if !strings.Contains(b.Log(), "Denied PUBLISH") {
		t.Errorf("log does not tell of the denied publish:\n%s", b.Log())
	}
}

func TestMosquittoQueueIsUnbounded(t *testing.T) {
	t.Parallel()
	const n = 1500 // the default bound is 1,000
	b := mqtttest.Mosquitto(t)
	sub := dial(t, b.URL(), "keeper", persistent)
	sub.subscribe(t, "q", 1)
	sub.Disconnect(50)
	pub := dial(t, b.URL(), "pub")
	for i := range n {
		token := pub.Client.Publish("q", 1, false, fmt.Sprint(i))
		if i == n-1 && done(token) != nil {
			t.Fatal(token.Error())
		}
	}
	again := dial(t, b.URL(), "keeper", persistent)
	mqtttest.Eventually(t, patience, func() bool { return len(again.received()) == n })
}

func TestMosquittoAdmitsUsers(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t, mqtttest.WithUser("ann", "a"), mqtttest.WithUser("bob", "b"))
	for _, tt := range []struct {
		user, password string
		admitted       bool
	}{{"ann", "a", true}, {"bob", "b", true}, {"ann", "b", false}, {"", "", false}} {
		c, err := tryDial(b.URL(), "c", func(o *paho.ClientOptions) { o.SetUsername(tt.user).SetPassword(tt.password) })
		if (err == nil) != tt.admitted {
			t.Errorf("user %q with %q: %v", tt.user, tt.password, err)
		}
		if err == nil {
			c.Disconnect(0)
		}
	}
}

func TestMosquittoPasswordChanges(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t, mqtttest.WithCredentials("ann", "old"))
	login := func(o *paho.ClientOptions) { o.SetUsername("ann").SetPassword("new") }
	if _, err := tryDial(b.URL(), "c", login); err == nil {
		t.Fatal("admitted with a wrong password")
	}
	b.SetPassword("ann", "new")
	b.Reload()
	mqtttest.Eventually(t, patience, func() error {
		c, err := tryDial(b.URL(), "c", login)
		if err == nil {
			c.Disconnect(0)
		}
		return err
	})
}
