package link

// linger leaves the socket open until the peer has closed its side, which it
// does when it has read our DISCONNECT. A broker that still answers what came
// before would run into a closed socket, and some throw away the rest then:
// acknowledgements and the DISCONNECT itself, so that they publish the will.
// Close ends the wait when its time is over.
func (c *Conn) linger() {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	c.reading.Lock() // a library that reads goes on until the end
	defer c.reading.Unlock()
	var rest [512]byte
	for err := error(nil); err == nil; {
		_, err = c.nc.Read(rest[:])
	}
}
