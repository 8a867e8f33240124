using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Mesh.Api.Identity;

namespace Mesh.Cli.Identity;

/// <summary>
/// A folder with a workload's certificate, key and roots for programs that want files (gRPC's file_watcher, nginx, HAProxy): cert-manager's
/// names, each a link through <c>..data</c> into a folder of one set, so that a change shows all three files at once, as Kubernetes does
/// it. Used by one writer.
/// </summary>
internal sealed partial class SvidFiles(string folder)
{
    /// <summary>Leaf and intermediates.</summary>
    public const string Certificate = "tls.crt";

    /// <summary>The private key (0600).</summary>
    public const string Key = "tls.key";

    /// <summary>The roots.</summary>
    public const string Roots = "ca.crt";

    private const string Data = "..data";
    private int sets;

    /// <summary>Replaces the set; readers see the old one or the new one, never a mixture.</summary>
    public void Write(Credentials credentials)
    {
        SecureFiles.EnsureFolder(folder);
        var before = new FileInfo(In(Data)).LinkTarget;
        var set = Fresh();
        SecureFiles.EnsureFolder(In(set));
        Put(set, Certificate, credentials.Svid.ChainPem());
        Put(set, Key, credentials.Svid.KeyPem());
        Put(set, Roots, credentials.Bundle.ToPem());
        Link(set, Data);
        foreach (var name in (string[])[Certificate, Key, Roots]) Link(Path.Combine(Data, name), name);
        // A folder of ours only: nobody follows a link that somebody else put here.
        if (before is not null && before.StartsWith("..", StringComparison.Ordinal) && !before.Contains('/', StringComparison.Ordinal) && before != set)
            Directory.Delete(In(before), recursive: true);
    }

    private void Put(string set, string name, string content) => SecureFiles.WriteAtomically(In(Path.Combine(set, name)), Encoding.ASCII.GetBytes(content));

    private string Fresh()
    {
        while (true)
        {
            var name = string.Create(CultureInfo.InvariantCulture, $"..{Environment.ProcessId}.{sets++}");
            if (!Path.Exists(In(name))) return name;
        }
    }

    /// <summary>A rename replaces the link in one step; a link that is right already stays.</summary>
    private void Link(string target, string name)
    {
        if (new FileInfo(In(name)).LinkTarget == target) return;
        var draft = In(name + ".new");
        File.Delete(draft);
        File.CreateSymbolicLink(draft, target);
        // Not File.Move: that looks at what the link leads to.
        if (Rename(draft, In(name)) != 0)
            throw new IOException($"cannot make the link {In(name)}: {Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError())}");
    }

    [LibraryImport("libc", EntryPoint = "rename", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Rename(string from, string to);

    private string In(string name) => Path.Combine(folder, name);
}
