package broker_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// spawn starts a process with a broker and returns its address, and what kills it.
func spawn(t *testing.T, path string) (url string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fileVariable+"="+path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = in.Close()
	})
	t.Cleanup(kill)
	url, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the broker did not start: %v", err)
	}
	return strings.TrimSpace(url), kill
}

// publishUntilItEnds publishes at QoS 1 and 2 in turn, some at a time, until the
// connection ends. It returns what was acknowledged: at QoS 2 by PUBREC.
func publishUntilItEnds(version byte, url, name string) (accepted []string, err error) {
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "mqtt://"))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(mqtttest.ConnectPacket(version, name, true)); err != nil {
		return nil, err
	}
	const window = 16
	sent := make(map[uint16]string)
	next := 0
	for {
		for len(sent) < window {
			id := uint16(next%60000 + 1)
			sent[id] = fmt.Sprint(name, "/", next)
			if _, err := c.Write(mqtttest.PublishPacket(version, id, "t", byte(1+next%2), sent[id])); err != nil {
				return accepted, nil
			}
			next++
		}
		p, err := mqtttest.ReadPacket(c)
		if err != nil {
			return accepted, nil
		}
		switch p.Type() {
		case broker.Puback:
			accepted = append(accepted, sent[p.ID()])
			delete(sent, p.ID())
		case broker.Pubrec:
			accepted = append(accepted, sent[p.ID()])
			if _, err := c.Write(mqtttest.AckPacket(broker.Pubrel, p.ID())); err != nil {
				return accepted, nil
			}
		case broker.Pubcomp:
			delete(sent, p.ID())
		case broker.Connack:
		default:
			return accepted, fmt.Errorf("%v", p)
		}
	}
}

// What a broker has acknowledged survives kill -9 of its process, again and again
// and under load, for a subscriber that was away all the time.
func TestKilledProcessKeepsWhatItAcknowledged(t *testing.T) {
	t.Parallel()
	const kills, publishers = 5, 4
	onBoth(t, func(t *testing.T, version byte) {
		path := filepath.Join(t.TempDir(), "broker.journal")
		var accepted []string
		for round := range kills {
			url, kill := spawn(t, path)
			if round == 0 {
				away := mqtttest.Raw(t, url)
				away.Connect(version, "away", false)
				away.Send(mqtttest.SubscribePacket(version, 1, "t", 2))
				away.Expect(broker.Suback)
				away.Close()
			}
			var mu sync.Mutex
			var wg sync.WaitGroup
			for n := range publishers {
				wg.Go(func() {
					got, err := publishUntilItEnds(version, url, fmt.Sprint("pub", round, "-", n))
					mu.Lock()
					defer mu.Unlock()
					accepted = append(accepted, got...)
					if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Error(err)
					}
				})
			}
			<-time.After(50*time.Millisecond + rand.N(100*time.Millisecond))
			kill()
			wg.Wait()
		}
		if len(accepted) < 100*kills {
			t.Errorf("%d accepted over %d kills: this test proves too little", len(accepted), kills)
		}
		url, _ := spawn(t, path)
		c := mqtttest.Raw(t, url)
		if !c.Connect(version, "away", false) {
			t.Fatal("no session")
		}
		got := make(map[string]int)
		missing := len(accepted)
		wanted := make(map[string]bool, len(accepted))
		for _, payload := range accepted {
			wanted[payload] = true
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		for missing > 0 {
			p, err := mqtttest.ReadPacket(c)
			if err != nil {
				t.Fatalf("%d of %d accepted messages are lost: %v", missing, len(accepted), err)
			}
			switch p.Type() {
			case broker.Publish:
				payload := string(broker.Observed{Packet: p, Version: version}.Message())
				if got[payload]++; got[payload] == 1 && wanted[payload] {
					missing--
				}
				if got[payload] > 1 {
					t.Errorf("%s comes twice", payload)
				}
				ack := broker.Puback
				if p.QoS() == 2 {
					ack = broker.Pubrec
				}
				c.Send(mqtttest.AckPacket(ack, p.ID()))
			case broker.Pubrel:
				c.Send(mqtttest.AckPacket(broker.Pubcomp, p.ID()))
			}
		}
		t.Logf("%d accepted over %d kills, %d received", len(accepted), kills, len(got))
	})
}
