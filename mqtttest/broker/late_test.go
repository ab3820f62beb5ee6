package broker

import (
	"errors"
	"net"
	"testing"
	"time"
)

// The time limit is for the whole CONNECT: a client that sends a byte occasionally does not
// get more time.
func TestConnectInPartsIsLateToo(t *testing.T) {
	t.Parallel()
	b, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	client, server := net.Pipe()
	defer client.Close()
	c := newConn(b.core, &b.script, &listener{scheme: "mqtt"}, server)
	defer c.close()
	c.socket, c.due = server, time.Now().Add(100*time.Millisecond)
	go func() { _, _ = client.Write([]byte{0x10}) }()
	if n, err := c.Read(make([]byte, 9)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	var late *violation
	began := time.Now()
	if _, err := c.Read(make([]byte, 9)); !errors.As(err, &late) || late.code != reasonKeepAlive {
		t.Fatalf("got %v", err)
	}
	if took := time.Since(began); took > connectTimeout/2 {
		t.Errorf("took %v", took)
	}
}
