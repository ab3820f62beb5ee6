package topic

import (
	"fmt"
	"runtime"
	"testing"
	"unsafe"
)

// A received topic shares the memory of its message. A remembered name must not
// keep the message in memory.
func TestRememberedNamesKeepNoMessages(t *testing.T) {
	const message, messages = 256 << 10, 400
	trie := NewTrie[int](0)
	if _, err := trie.Add("devices/+", 1); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range messages {
		body := make([]byte, message)
		n := copy(body, fmt.Sprintf("devices/%d", i))
		if got := trie.Match(unsafe.String(&body[0], n)); len(got) != 1 {
			t.Fatal(got)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > messages*message/10 {
		t.Errorf("%d bytes are kept", kept)
	}
	runtime.KeepAlive(trie)
}
