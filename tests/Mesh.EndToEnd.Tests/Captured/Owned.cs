using System.Diagnostics;
using Mesh.EndToEnd.Tests.Testbed.Network;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>A folder for an application of a machine, which ends with the machine. Immutable.</summary>
internal sealed class Owned(TemporaryFolder folder) : IAsyncDisposable
{
    /// <summary>Makes one that belongs to the user of applications.</summary>
    public static async Task<TemporaryFolder> FolderAsync(NetworkHost host)
    {
        var made = new TemporaryFolder();
        host.Own(new Owned(made));
        using var owning = Process.Start("chown", [$"{NetworkHost.AppUser}", made.Path]);
        await owning.WaitForExitAsync();
        return made;
    }

    public ValueTask DisposeAsync()
    {
        folder.Dispose();
        return ValueTask.CompletedTask;
    }
}
