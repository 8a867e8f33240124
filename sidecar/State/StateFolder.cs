using System.Globalization;
using Mesh.Api.Identity;
using Mesh.Api.V1;

namespace Mesh.Sidecar.State;

/// <summary>
/// The folder (0700) in which a sidecar keeps its last good configuration (a file, 0600) for its next start. One process uses it at a time; one
/// thread of that.
/// </summary>
internal sealed class StateFolder(string path, TimeProvider time)
{
    /// <summary>What no control plane has stood behind for so long is not served from.</summary>
    public static readonly TimeSpan MostAge = TimeSpan.FromHours(24);

    private const string FileName = "configuration";
    private static readonly TimeSpan ClockSlack = TimeSpan.FromMinutes(5);

    private string FilePath => Path.Combine(path, FileName);

    /// <summary>What is kept, whole and young enough; null when nothing is. Throws <see cref="StateRefusedException"/>.</summary>
    public KeptConfiguration? Read()
    {
        byte[] content;
        try
        {
            SecureFiles.EnsureFolder(path);
            // Of a process that was killed while it wrote.
            foreach (var draft in Directory.EnumerateFiles(path, FileName + ".*.new")) File.Delete(draft);
            if (!File.Exists(FilePath)) return null;
            content = SecureFiles.ReadSecret(FilePath, StateFile.Most);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new StateRefusedException("unreadable", e.Message, e);
        }

        try
        {
            var kept = StateFile.Read(content);
            CheckAge(kept);
            return kept;
        }
        catch (StateRefusedException e)
        {
            throw new StateRefusedException(e.Reason, $"{FilePath} {e.Message}", e);
        }
    }

    /// <summary>Keeps this instead of what was kept; throws <see cref="IOException"/> or <see cref="UnauthorizedAccessException"/>, and then that stays.</summary>
    public void Write(KeptConfiguration kept)
    {
        if (kept.CalculateSize() is var size && size > StateFile.Most - 1024)
            throw new IOException($"the configuration has {size} bytes, and at most {StateFile.Most} are kept");
        SecureFiles.EnsureFolder(path);
        SecureFiles.WriteAtomically(FilePath, file => StateFile.Write(file, kept));
    }

    private static DateTimeOffset ConfirmedAt(KeptConfiguration kept)
    {
        try
        {
            if (kept.Confirmed is { } stamp) return stamp.ToDateTimeOffset();
        }
        catch (InvalidOperationException)
        {
            // No time at all: seconds of no year there is.
        }

        throw new StateRefusedException("damaged", "does not say of when it is");
    }

    private void CheckAge(KeptConfiguration kept)
    {
        var confirmed = ConfirmedAt(kept);
        var age = time.GetUtcNow() - confirmed;
        var when = confirmed.ToString("u", CultureInfo.InvariantCulture);
        if (age > MostAge) throw new StateRefusedException("old", $"is of {when}: no control plane has stood behind it for {age.TotalHours:0} hours, and {MostAge.TotalHours:0} are the most");
        if (age < -ClockSlack) throw new StateRefusedException("clock", $"is of {when}, which the clock here says is to come: how old it is cannot be known");
    }
}
