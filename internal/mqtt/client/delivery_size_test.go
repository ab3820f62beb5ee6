package client

import (
	"testing"
	"unsafe"
)

// There is one delivery for each message that waits: fields that few of them need belong
// behind a pointer.
func TestDeliveryIsSmall(t *testing.T) {
	t.Parallel()
	const most = 288 // a size class of the allocator; the next takes 32 bytes more
	if n := unsafe.Sizeof(Delivery{}); n > most {
		t.Errorf("a delivery takes %d bytes, want at most %d", n, most)
	}
}
