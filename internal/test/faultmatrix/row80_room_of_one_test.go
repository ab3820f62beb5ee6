package faultmatrix_test

import (
	"testing"
	"time"
)

// Row 80: the handler of one device's messages hangs or is slow, and the device keeps sending at
// QoS 0, large messages or many small ones. They are dropped and counted once the device has used
// up its share of the queue; the others keep theirs.
func TestFault_80_RoomOfOneDevice(t *testing.T) {
	memoryOfOne(t, map[string]heavy{
		"large": {[]string{"3.1.1", "5"}, 300, wire{payload: make([]byte, 250_000), atMostOnce: true}, beside / 2, 0},
		"many":  {[]string{"3.1.1", "5"}, 3000, wire{payload: make([]byte, 100), atMostOnce: true}, 0, 0},
		"slow":  {[]string{"5"}, 3000, wire{payload: make([]byte, 100), atMostOnce: true}, beside / 2, 15 * time.Millisecond},
	})
}
