package client

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking/retained"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// letterBelow returns a letter whose origin is the topic without its last level.
func letterBelow(origin string, i, size int) *deadletter.Letter {
	return &deadletter.Letter{
		ID: numbered(i), State: deadletter.Dead, Service: "shop", Filter: "plant/+/#", Reason: "bad",
		Message: message.Message{Topic: fmt.Sprintf("%s/%d", origin, i), Payload: []byte(strings.Repeat("x", size)), QoS: 1},
	}
}

// Letters that the service did not sign take no room, neither from the share of the origin
// that they name nor from the total.
func TestForgedLettersTakeNoRoom(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"share": 12, "all": 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(t *testing.T, version option) {
				b := mqtttest.Mosquitto(t)
				other := running(t, client(t, b.URL(), version, func(c *Config) { c.ClientID = "other" }))
				for i := range n {
					l := letterBelow("plant/7", i+1, 10)
					retainLetter(t, other, other.DeadLetters().(*retained.Store).Destination(l.ID), l, nil)
				}
				c := running(t, client(t, b.URL(), version, func(c *Config) {
					c.MaxLetters, c.SigningKeys = 16, deadletter.SigningKeys{[]byte(strings.Repeat("k", 32))}
				}), on("plant/+/#", idle))
				s := c.DeadLetters()
				for i := range 8 {
					if err := s.Put(within(t, patience), letterBelow("plant/7", 100+i, 10)); err != nil {
						t.Fatalf("letter %d: %v", i+1, err)
					}
				}
				if st, err := s.Stats(within(t, patience)); err != nil || st.Dead != n+8 {
					t.Errorf("%+v, %v, want %d letters", st, err, n+8)
				}
				if err := s.Put(within(t, patience), letterBelow("plant/8", 200, 10)); err != nil {
					t.Errorf("after a count: %v", err)
				}
			})
		})
	}
}

// Removed letters free their room for letters of the same origin, in number and bytes.
func TestDroppedRetainedLettersLeaveRoom(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version option) {
		b := mqtttest.Mosquitto(t)
		for name, bounds := range map[string]option{
			"letters": func(c *Config) { c.MaxLetters = 16 },
			"bytes":   func(c *Config) { c.MaxLetterBytes = 16 << 10 },
		} {
			c := running(t, client(t, b.URL(), version, bounds, func(c *Config) { c.Service, c.ClientID = name, name }), on("plant/+/#", idle))
			s := c.DeadLetters()
			for round := range 3 {
				for i := range 8 {
					l := letterBelow("plant/7", 100*round+i+1, 500)
					l.Service = name
					if err := s.Put(within(t, patience), l); err != nil {
						t.Fatalf("%s: round %d, letter %d: %v", name, round+1, i+1, err)
					}
				}
				if n, err := deadletter.Delete(within(t, patience), s); n != 8 || err != nil {
					t.Fatalf("%s: %d dropped, %v", name, n, err)
				}
			}
		}
	})
}

// Letters that another process has deleted free their room at the next count.
func TestRoomThatOthersLeft(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	bounds := func(c *Config) { c.MaxLetterBytes = 16 << 10 }
	c := running(t, client(t, b.URL(), bounds), on("plant/+/#", idle))
	s := c.DeadLetters()
	operator := running(t, client(t, b.URL(), bounds, func(c *Config) { c.ClientID = "operator" }))
	var err error
	for i := range 20 {
		if err = s.Put(within(t, patience), letterBelow("plant/7", i+1, 500)); err != nil {
			break
		}
	}
	if !errors.Is(err, deadletter.ErrShare) {
		t.Fatalf("%v, want ErrShare", err)
	}
	if n, err := deadletter.Delete(within(t, patience), operator.DeadLetters()); n == 0 || err != nil {
		t.Fatalf("%d dropped, %v", n, err)
	}
	// After a second.
	mqtttest.Eventually(t, patience, func() error { return s.Put(within(t, patience), letterBelow("plant/7", 100, 500)) })
}
