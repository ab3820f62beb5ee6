package link

// linger leaves the socket open until the peer has closed its side, which it
// does when it has read our DISCONNECT. A broker that still answers what came
// before would run into a closed socket, and some throw away the rest then:
// acknowledgements and the DISCONNECT itself, so that they publish the will.
// The library goes on reading, and Close ends the wait when its time is over.
func (c *Conn) linger() {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	<-c.drained
}

// stopReading notes the end of what the peer has to say.
func (c *Conn) stopReading() { c.once.Do(func() { close(c.drained) }) }
