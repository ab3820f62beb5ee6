package embedded

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// FuzzServer sends arbitrary bytes after a CONNECT, without the net that
// catches panics in a running broker: what the checker lets through must not
// make the library panic, and others must still be answered.
func FuzzServer(f *testing.F) {
	for _, p := range corpus() {
		f.Add(p.version == 5, p.bytes)
	}
	cfg, err := newConfig(nil)
	if err != nil {
		f.Fatal(err)
	}
	server, err := newServer(cfg)
	if err != nil {
		f.Fatal(err)
	}
	defer server.Close()
	f.Fuzz(func(t *testing.T, five bool, data []byte) {
		version := byte(4)
		if five {
			version = 5
		}
		exchange(server.EstablishConnection, append(hello(version), data...))
		witness := append(connect(4, 2, text("witness")), 0xC0, 0)
		if got := exchange(server.EstablishConnection, witness); !bytes.HasSuffix(got, []byte{0xD0, 0}) {
			t.Fatalf("broker answers % x", got)
		}
	})
}

// exchange sends bytes over a pipe, ends the stream and returns the answer.
func exchange(serve func(string, net.Conn) error, data []byte) []byte {
	client, server := net.Pipe()
	_ = client.SetDeadline(time.Now().Add(patience))
	var wg sync.WaitGroup
	wg.Go(func() {
		stream := source{Conn: server, r: io.LimitReader(server, int64(len(data)))}
		_ = serveConn(serve, "fuzz", stream, 4096)
	})
	wg.Go(func() { _, _ = client.Write(data) }) // the broker may end it first
	answer, _ := io.ReadAll(client)
	_ = client.Close()
	wg.Wait()
	return answer
}
