package badinput_test

import (
	"context"
	"maps"
	"net"
	"slices"
	"testing"

	kmetadata "github.com/go-kratos/kratos/v2/metadata"
	"github.com/go-kratos/kratos/v2/middleware/metadata"
	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// TestNoIdentityFromAMessage: Kratos' metadata takes no header of an unknown sender, and publishes
// of the handler send none on. From a sender that the subscription trusts it takes only keys with
// x-md- and x-md-global-.
func TestNoIdentityFromAMessage(t *testing.T) {
	t.Parallel()
	t.Run("stranger", func(t *testing.T) {
		t.Parallel()
		identity(t, nil, []string{"id"}) // the id of the new message
	})
	t.Run("trusted", func(t *testing.T) {
		t.Parallel()
		identity(t, []string{"x-md-c", "x-md-global-a", "x-md-global-b"}, []string{"id", "x-md-global-a", "x-md-global-b"},
			mqttbroker.WithSubscribeTrustSender())
	})
}

// identity checks the keys in the metadata, and those on the next message.
func identity(t *testing.T, taken, on []string, opts ...broker.SubscribeOption) {
	t.Helper()
	p := newPeer(t, 5, func(net.Conn, int, string) bool { return false })
	srv, _ := client(t, p.URL(), 5, mqttserver.Middleware(metadata.Server()))
	got := make(chan kmetadata.Metadata, 1)
	handle(t, srv, "t", func(ctx context.Context, m *reading) error {
		md, _ := kmetadata.FromServerContext(ctx)
		got <- md
		return srv.Publish(ctx, "next", broker.NewMessage(*m))
	}, opts...)
	start(t, srv)
	var properties []byte
	for _, key := range []string{
		"x-md-global-a", "X-MD-Global-B", "x-md-c", // the known ones
		"authorization", "user", "user-id", "x-user-id", "x-forwarded-for", "x-real-ip", "cookie", "md-a", "xx-md-a", "x-md", " x-md-a", "x_md_a",
		":authority", "grpc-metadata-a", "kratos-service", "x-mda",
	} {
		properties = append(properties, user(1, key, "stranger")...)
	}
	p.send(t, bombPacket(5, bomb{topic: "t", properties: properties}, []byte(`{"celsius":1}`)))
	md := receive(t, got)
	if keys := slices.Sorted(maps.Keys(md)); !slices.Equal(keys, taken) {
		t.Errorf("metadata %v", md)
	}
	var next mqtttest.Packet
	mqtttest.Eventually(t, patience, func() bool {
		for _, packet := range p.seen() {
			if packet.Type() == mqtttest.TypePublish && packet.Topic() == "next" {
				next = packet
				return true
			}
		}
		return false
	})
	if keys := userKeys(next); !slices.Equal(keys, on) {
		t.Errorf("passed on %v", keys)
	}
}

// userKeys returns the names of the user properties of a QoS 1 PUBLISH whose other properties are
// texts.
func userKeys(p mqtttest.Packet) (keys []string) {
	body := p.Payload()
	size := int(body[0]) // less than 128
	for b := body[1 : 1+size]; len(b) > 0; {
		id, n := b[0], int(b[1])<<8|int(b[2])
		name := string(b[3 : 3+n])
		b = b[3+n:]
		if id == 0x26 {
			keys = append(keys, name)
			b = b[2+(int(b[0])<<8|int(b[1])):]
		}
	}
	slices.Sort(keys)
	return keys
}

func receive[T any](t *testing.T, ch <-chan T) (v T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case v = <-ch:
	case <-ctx.Done():
		t.Fatal("nothing arrived")
	}
	return v
}
