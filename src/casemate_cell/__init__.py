"""
What the platform runs inside a cell; standard library only.

Everything here shares its process with a tenant's code, or parses a tenant's
package, so nothing here is trusted by the node: it is a convenience of the
cell, and the node checks every byte that comes out.  Modules stay small and
import little, because each waiting cell pays for them in memory.
"""
