package outboxfile

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/record"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

func full() *outbox.Entry {
	return &outbox.Entry{
		Message: message.Message{
			Topic: "a/b", Payload: []byte("payload"), QoS: 2, Retain: true, ContentType: "text/plain",
			ResponseTopic: "r", CorrelationData: []byte{1, 2}, Expiry: time.Minute,
			Headers: []message.Header{{Key: "k", Value: "v"}, {Key: "k", Value: ""}},
		},
		ID: "id", Key: "key", RetryUnrouted: time.Hour,
	}
}

func sealed(key []byte, e *outbox.Entry) []byte {
	rec := encode(e, time.Unix(1_700_000_000, 5))
	record.Seal(key, rec)
	return rec
}

// Any byte that is changed, and any that is missing, is noticed.
func TestDecodeNoticesEveryChange(t *testing.T) {
	t.Parallel()
	key := keyOf(7)
	rec := sealed(key, full())
	e, err := decode(key, rec)
	if err != nil {
		t.Fatal(err)
	}
	want := full()
	want.Seq, want.Accepted = 7, time.Unix(1_700_000_000, 5)
	if !reflect.DeepEqual(e, want) {
		t.Errorf("decoded %+v, want %+v", e, want)
	}
	for i := range rec {
		changed := bytes.Clone(rec)
		changed[i] ^= 0x40
		if _, err := decode(key, changed); err == nil {
			t.Errorf("byte %d was changed, and nobody noticed", i)
		}
		if _, err := decode(key, rec[:i]); err == nil {
			t.Errorf("cut to %d bytes, and nobody noticed", i)
		}
	}
	if _, err := decode(keyOf(8), rec); err == nil {
		t.Error("the record of another number was taken")
	}
	if _, err := decode(key, append(bytes.Clone(rec), 0)); err == nil {
		t.Error("a byte too many was taken")
	}
}

// FuzzDecode passes bodies with a valid checksum to the decoder, so that only the decoder can
// reject them.
func FuzzDecode(f *testing.F) {
	key := keyOf(7)
	f.Add(sealed(key, full())[record.Head:])
	f.Add(sealed(key, &outbox.Entry{ID: "x", Message: message.Message{Topic: "t"}})[record.Head:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		rec := append(record.New(len(body)), body...)
		_, _ = decode(key, rec) // without a checksum
		record.Seal(key, rec)
		sizeOf(rec)
		e, err := decode(key, rec)
		if err != nil {
			return
		}
		if n := e.Size(); n > len(body) {
			t.Errorf("%d bytes became an entry of %d", len(body), n)
		}
		again := encode(e, e.Accepted)
		record.Seal(key, again)
		e2, err := decode(key, again)
		if err != nil || !reflect.DeepEqual(e, e2) {
			t.Errorf("encoded and decoded again: %+v, %v; want %+v", e2, err, e)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	key := keyOf(7)
	rec := sealed(key, full())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode(key, rec); err != nil {
			b.Fatal(err)
		}
	}
}
