//go:build unix

package site

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
)

// maxLinks is how many links are followed on one way, as the kernel does (path_resolution(7)).
const maxLinks = 40

// Resolve finds where a path of a system lies whose files are in the folder root: a
// link there leads within the folder, as after chroot(2). With last, the last part is
// followed too if it is a link; without, it is the link itself. Parts that are not
// there are kept as they are named.
func Resolve(root, name string, last bool) (string, error) {
	if root == "" {
		root = "/"
	}
	todo := strings.Split(strings.Trim(path.Clean("/"+name), "/"), "/")
	at := "/"
	for links := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		here := path.Join(at, part)
		if len(todo) == 0 && !last {
			return path.Join(root, here), nil
		}
		target, err := os.Readlink(path.Join(root, here))
		if err != nil {
			if errors.Is(err, os.ErrNotExist) || isNoLink(err) {
				at = here
				continue
			}
			return "", fmt.Errorf("cannot follow %s: %w", name, err)
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("cannot follow %s: more than %d links", name, maxLinks)
		}
		if strings.HasPrefix(target, "/") {
			at = "/"
		}
		todo = append(strings.Split(strings.Trim(target, "/"), "/"), todo...)
	}
	return path.Join(root, at), nil
}
