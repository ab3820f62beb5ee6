package link

import "github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"

// Ping asks the broker for a sign of life on the engine's own account, and calls
// answered on the reading goroutine when it comes: the link has then carried a
// packet there and one back. The library sees nothing of it. One may be under way
// at a time. Call Flush or Wake to have it written. On an ended connection it does
// nothing.
func (c *Conn) Ping(answered func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing() != nil {
		return
	}
	c.probe.Store(&answered)
	c.control.add([]byte{byte(wire.TypePingreq) << 4, 0})
}
