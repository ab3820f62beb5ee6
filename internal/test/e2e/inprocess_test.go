package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

var mqttAddress = regexp.MustCompile(`mqtt://127\.0\.0\.1:\d+`)

// An all-in-one service is killed while reports are at its in-process broker, in its
// outbox and in its handlers. Every accepted report is stored once.
func TestAllInOneKilled(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"3.1.1", "5"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			db := sqliteStore(t)
			env := append(slices.Clone(db.env), outbox(t), journal(t), "KM_MQTT_PROTOCOL="+protocol)
			s := start(t, "config.yaml", env...)
			l := newLoad(t, s.base)
			awaitReady(t, s)
			table := db.open(t)
			stop := l.keepPosting(t, 8, 5*time.Millisecond)
			n := (kills() + 5) / 6
			for range n {
				live(t, l)
				s.kill(t)
				s = start(t, "config.yaml", env...)
				l.base.Store(&s.base)
			}
			stop()
			l.wantRows(t, table)
		})
	}
}

// Messages that the in-process broker has acknowledged wait for an absent subscriber, however the
// service ends meanwhile.
func TestInProcessBrokerKeepsItsPromise(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *service){
		"Ctrl-C":  func(t *testing.T, s *service) { s.signal(t, syscall.SIGINT) },
		"kill -9": func(t *testing.T, s *service) { s.kill(t) },
	} {
		for _, version := range []byte{4, 5} {
			t.Run(fmt.Sprint(name, ", version ", version), func(t *testing.T) {
				t.Parallel()
				db, _ := database(t)
				env := []string{db, outbox(t), journal(t)}
				s := start(t, "config.yaml", env...)
				away := connect(t, s, version, "away", false)
				away.Send(mqtttest.SubscribePacket(version, 1, "news/#", 2))
				away.Expect(mqtttest.TypeSuback)
				away.Close()
				sender := connect(t, s, version, "sender", true)
				var want []string
				for i := range 20 {
					id, body := uint16(i+1), fmt.Sprint("message ", i)
					want = append(want, body)
					sender.Send(mqtttest.PublishPacket(version, id, "news/1", byte(1+i%2), body))
					if i%2 == 0 {
						sender.Expect(mqtttest.TypePuback)
						continue
					}
					sender.Expect(mqtttest.TypePubrec)
					sender.Send(mqtttest.AckPacket(mqtttest.TypePubrel, id))
					sender.Expect(mqtttest.TypePubcomp)
				}
				for range 2 {
					end(t, s)
					s = start(t, "config.yaml", env...)
				}
				away = connect(t, s, version, "away", false)
				got := receive(t, away, version, len(want))
				if !slices.Equal(got, want) {
					t.Errorf("got %q", got)
				}
			})
		}
	}
}

// The shipped configuration uses MQTT 5 with its own broker, so that it serves requests.
func TestInProcessBrokerHasRequests(t *testing.T) {
	t.Parallel()
	db, _ := database(t)
	s := start(t, "config.yaml", db)
	awaitReady(t, s)
	device := connect(t, s, 4, "device", true)
	device.Send(mqtttest.PublishPacket(4, 1, "devices/robot-3/heartbeat", 1, "{}"))
	device.Expect(mqtttest.TypePuback)
	wantListed(t, s.base+"/v1/devices/robot-3/state", `"online":true`)
	state, err := requestState(t, mqttAddress.FindString(s.output.String()), startTimeout)
	if err != nil || !state.Online || state.DeviceId != "robot-3" {
		t.Errorf("got %v, %v", state, err)
	}
}

// connect returns a client of a service's in-process broker.
func connect(t *testing.T, s *service, version byte, id string, clean bool) *mqtttest.RawClient {
	t.Helper()
	url := mqttAddress.FindString(s.output.String())
	mqtttest.Eventually(t, startTimeout, func() bool {
		url = mqttAddress.FindString(s.output.String())
		return url != ""
	})
	c := mqtttest.Raw(t, url)
	c.Connect(version, id, clean)
	return c
}

// receive receives and acknowledges n messages.
func receive(t *testing.T, c *mqtttest.RawClient, version byte, n int) (got []string) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(startTimeout)); err != nil {
		t.Fatal(err)
	}
	for len(got) < n {
		p, err := mqtttest.ReadPacket(c)
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		switch answer := mqtttest.TypePuback; p.Type() {
		case mqtttest.TypePublish:
			body := p.Payload()
			if version == 5 {
				body = body[1:] // no properties
			}
			got = append(got, string(body))
			if p.QoS() == 2 {
				answer = mqtttest.TypePubrec
			}
			c.Send(mqtttest.AckPacket(answer, p.ID()))
		case mqtttest.TypePubrel:
			c.Send(mqtttest.AckPacket(mqtttest.TypePubcomp, p.ID()))
		}
	}
	return got
}
