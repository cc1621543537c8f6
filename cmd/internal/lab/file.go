//go:build linux

package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// File is something that the installation of a host has put into its tree. It is
// there at every boot as it was at the first one, whatever was done to it.
type File struct {
	Path    string   // absolute
	Content string   // of a file, if nothing below is set
	Link    string   // it is a symbolic link to this
	Folder  bool     // it is a folder
	Program bool     // it is the lab's own program under another name, which tells it what to do
	Hosts   []string // nil: the hosts that are cabled to the disks
}

// on reports whether the file belongs to a host's installation.
func (f File) on(h Host) bool {
	if f.Hosts == nil {
		return h.Disks
	}
	return slices.Contains(f.Hosts, h.Name)
}

// check refuses what a host cannot have.
func (f File) check() error {
	if !filepath.IsAbs(f.Path) || filepath.Clean(f.Path) != f.Path {
		return fmt.Errorf("cannot install %q: the path must be absolute and clean", f.Path)
	}
	if strings.HasPrefix(f.Path, "/usr/") && !slices.Contains(layered, filepath.Dir(f.Path)) {
		return fmt.Errorf("cannot install %s: of /usr, which is the machine's, only %v can have more", f.Path, layered)
	}
	return nil
}

// layered are the folders of the machine's programs that a host's own lie over.
var layered = []string{"/usr/bin", "/usr/sbin"}

// layers is where a host's own programs for these folders are.
const layers = "/.layers"

// install puts the files in place, after everything else of the root. The
// machine's folders of programs are read-only and stay so: a host sees them
// through an overlay of two layers, which nothing can be written to
// (Documentation/filesystems/overlayfs.rst, "Multiple lower layers").
func (r *rootBuilder) install(files []File) {
	var over []string
	for _, f := range files {
		path, dir := f.Path, filepath.Dir(f.Path)
		if slices.Contains(layered, dir) {
			path = filepath.Join(layers, f.Path)
			if !slices.Contains(over, dir) {
				over = append(over, dir)
			}
			if f.Program { // the overlay shows a link as one, and would hide a mount
				f.Program, f.Link = false, binaryInside
			}
		}
		switch {
		case f.Folder:
			r.mkdir(path)
		case f.Program:
			r.bind(r.binary, path, true)
		case f.Link != "":
			if err := os.Remove(r.in(path)); err != nil && !errors.Is(err, os.ErrNotExist) {
				r.do("replace "+path, err)
			}
			r.link(f.Link, path)
		default:
			r.file(path, []byte(f.Content), 0o644)
		}
	}
	for _, dir := range over {
		if r.err == nil {
			r.do("lay programs over "+dir, unix.Mount("overlay", r.in(dir), "overlay", unix.MS_RDONLY,
				"lowerdir="+r.in(layers+dir)+":"+r.in(dir)))
		}
	}
}
