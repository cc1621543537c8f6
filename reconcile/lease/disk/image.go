package disk

// Image is the bytes of a device with an empty store, as [Format] leaves it, for a
// disk that is not one of this host: h.ID is taken as it is.
func Image(h Header, key []byte) ([]byte, error) {
	b, err := h.encode(key)
	if err != nil {
		return nil, err
	}
	out := make([]byte, h.Size())
	copy(out, b)
	return out, nil
}
