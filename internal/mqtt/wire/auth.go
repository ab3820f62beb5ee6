package wire

// CheckAuth checks the body of an MQTT 5 AUTH packet: its reason code
// [MQTT-3.15.2-1] and its properties. It keeps nothing of the body.
func CheckAuth(body []byte) error {
	c := cursor(body)
	code, ok := c.byte()
	if !ok {
		return nil // an empty body means success without properties
	}
	if err := checkCode(TypeAuth, code); err != nil {
		return err
	}
	if len(c) == 0 {
		return nil
	}
	props, err := c.properties(TypeAuth)
	if err != nil {
		return err
	}
	if len(c) > 0 {
		return malformed(TypeAuth, "section 2.1.4", "bytes after the properties")
	}
	var seen uint64
	for len(props) > 0 {
		if _, err := props.property(TypeAuth, &seen); err != nil {
			return err
		}
	}
	return nil
}
