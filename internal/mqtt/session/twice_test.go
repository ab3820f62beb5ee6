package session

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Two processes with one client id are a misconfiguration. Each repeatedly
// takes over the session of the other in the middle of its QoS 2 exchanges.
// Every message that is reported as published must have been published
// nevertheless.
func TestTwoPublishersWithOneClientID(t *testing.T) {
	t.Parallel()
	for name, protocol := range map[string]Protocol{"3.1.1": Version31, "5": Version5} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Without limits: a limited broker drops what two windows have in
			// flight beyond them.
			b := mqtttest.Mosquitto(t, mqtttest.WithConfig("max_queued_messages 0", "max_inflight_messages 0"))
			got := &box{done: true}
			sub := start(t, b.URL(), clientID("sub"), into(got), speaking(protocol))
			if err := sub.Subscribe(within(t, patience), Filter{Filter: "twice/#", QoS: 2}); err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			told := make([]map[string]bool, 2)
			var journals [2]journal
			ctx, cancel := context.WithTimeout(t.Context(), fighting)
			defer cancel()
			var two [2]*Session
			for i := range two { // set before the first publish, because what the first connection ends is another case
				s := open(t, b.URL(), clientID("same"), to(&journals[i]), speaking(protocol), reconnect(200*time.Millisecond, time.Second), func(c *Config) { c.FreshStart = true })
				s.out.win.keep(leastRounds, int32(i)) // as 15 of 16 pairs choose once they detect each other
				s.Start()
				ready(t, s)
				two[i] = s
			}
			for i, s := range two {
				told[i] = make(map[string]bool)
				var mu sync.Mutex
				for k := range 16 {
					all.Go(func() {
						for n := 0; ctx.Err() == nil; n++ {
							text := fmt.Sprintf("%d-%d-%d", i, k, n)
							if s.Publish(ctx, &Message{Topic: "twice/" + fmt.Sprint(k), QoS: 2, Payload: []byte(text)}) == nil {
								mu.Lock()
								told[i][text] = true
								mu.Unlock()
							}
						}
					})
				}
			}
			all.Wait()
			n := len(told[0]) + len(told[1])
			missing := func() (list []string) {
				arrived := make(map[string]bool)
				for _, m := range got.all() {
					arrived[string(m.Payload)] = true
				}
				for _, t := range told {
					for text := range t {
						if !arrived[text] {
							list = append(list, text)
						}
					}
				}
				return list
			}
			mqtttest.Eventually(t, patience, func() error {
				if list := missing(); len(list) > 0 {
					return fmt.Errorf("%d of %d did not arrive, first %s", len(list), n, list[0])
				}
				return nil
			})
			lost, named := 0, 0
			for i := range journals {
				for _, e := range eventsOf[ConnectionLost](&journals[i]) {
					if lost++; e.Loss.Contested {
						named++
					}
				}
				named += len(eventsOf[TakenOver](&journals[i]))
				lost += len(eventsOf[TakenOver](&journals[i]))
			}
			t.Logf("%d published, %d connections lost, %d of them name another client", n, lost, named)
		})
	}
}

// fighting is how long the two publish.
const fighting = 3 * time.Second
