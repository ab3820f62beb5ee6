package mqtttest_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// TestProxyAndRecorderTogether publishes through faults, again until it is
// acknowledged: nothing is lost, and each lost acknowledgement is one duplicate.
func TestProxyAndRecorderTogether(t *testing.T) {
	t.Parallel()
	const messages, faults = 300, 30
	b := mqtttest.Mosquitto(t)
	p := mqtttest.NewProxy(t, b.URL())
	r := mqtttest.NewRecorder()
	sub := dial(t, b.URL(), "sub", func(o *paho.ClientOptions) {
		o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { r.Handled(string(m.Payload())) })
	})
	sub.subscribe(t, "ids", 1)

	pub := publisher{address: strings.TrimPrefix(p.URL(), "mqtt://")}
	defer pub.close()
	for i := range messages {
		if i%(messages/faults) == 0 {
			p.CutBefore(mqtttest.ToClient, mqtttest.TypePuback, 1)
		}
		id := fmt.Sprint("message ", i)
		r.Attempted(id)
		if err := pub.publish(id); err != nil {
			t.Fatal(err)
		}
		r.Accepted(id)
	}
	mqtttest.Eventually(t, patience, func() error {
		rep := r.Report()
		if rep.Err() == nil && rep.Handled == messages && rep.Duplicates == faults {
			return nil
		}
		return fmt.Errorf("%v, want %d duplicates", rep, faults)
	})
	if n := p.Counts().Connections; n != faults+1 {
		t.Errorf("%d connections, want %d", n, faults+1)
	}
}

// publisher sends at QoS 1 until it is acknowledged.
type publisher struct {
	address string
	conn    net.Conn
}

func (p *publisher) publish(id string) error {
	var err error
	for range 5 {
		if err = p.once(id); err == nil {
			return nil
		}
		p.close()
	}
	return err
}

func (p *publisher) close() {
	if p.conn != nil {
		_ = p.conn.Close()
		p.conn = nil
	}
}

func (p *publisher) once(id string) error {
	if p.conn == nil {
		conn, err := net.Dial("tcp", p.address)
		if err != nil {
			return err
		}
		p.conn = conn
		_ = conn.SetDeadline(time.Now().Add(patience))
		if err := p.exchange(mqtttest.ConnectPacket(4, "pub", true), mqtttest.TypeConnack); err != nil {
			return err
		}
	}
	return p.exchange(mqtttest.PublishPacket(4, 1, "ids", 1, id), mqtttest.TypePuback)
}

func (p *publisher) exchange(send []byte, want mqtttest.PacketType) error {
	if _, err := p.conn.Write(send); err != nil {
		return err
	}
	got, err := mqtttest.ReadPacket(p.conn)
	if err == nil && got.Type() != want {
		err = fmt.Errorf("received %v, want %v", got, want)
	}
	return err
}

func BenchmarkProxy(b *testing.B) {
	sink := make(chan int)
	f := mqtttest.ScriptedBroker(b, func(c net.Conn) {
		n := 0
		buf := make([]byte, 64<<10)
		for n < b.N*266 {
			k, err := c.Read(buf)
			if err != nil {
				break
			}
			n += k
		}
		sink <- n
	})
	p := mqtttest.NewProxy(b, f.URL())
	c := mqtttest.Raw(b, p.URL())
	message := mqtttest.PublishPacket(4, 1, "a/b/c", 0, strings.Repeat("x", 256))
	b.SetBytes(int64(len(message)))
	b.ResetTimer()
	for range b.N {
		c.Send(message)
	}
	<-sink
}
