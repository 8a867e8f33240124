using Mesh.Api.Logging;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Sources.Files;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Sources.Files;

/// <summary>A folder of rules on a real disk: what is taken, what is refused, and that a change is seen.</summary>
public sealed class FileSourceTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private readonly string folder = Directory.CreateTempSubdirectory("mesh-rules-").FullName;
    private readonly WorldStore store = new();
    private readonly ManualTimeProvider clock = new();

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void A_folder_that_is_not_there_is_a_start_error()
    {
        var error = Assert.Throws<StartException>(() => new FileSource(Path.Combine(folder, "missing"), store, clock, Log.Silent));
        Assert.StartsWith($"--rules {folder}/missing: the folder cannot be read: ", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_instead_of_a_folder_is_a_start_error()
    {
        Write("a.yaml", Service("a"));
        Assert.Throws<StartException>(() => new FileSource(Path.Combine(folder, "a.yaml"), store, clock, Log.Silent));
    }

    [Fact]
    public void Documents_below_the_folder_are_taken_and_dotfiles_are_not()
    {
        Write("a.yaml", Service("a"));
        Write("deep/er/b.yml", Service("b"));
        Write("c.json", """{"apiVersion":"v1","kind":"Service","metadata":{"name":"c"},"spec":{"ports":[{"port":80}]}}""");
        Write(".hidden.yaml", Service("d"));
        Write(".git/e.yaml", Service("e"));
        Write("notes.txt", "not yaml: [");
        using var source = Load();
        Assert.Equal(["a", "b", "c"], Names());
        Assert.Equal(3, source.Status.Files);
        Assert.Equal(3, source.Status.Documents["Service"]);
        Assert.Equal(clock.GetUtcNow(), source.Status.ServingSince);
        Assert.True(source.FirstGood.IsCompleted);
    }

    [Fact]
    public void A_wrong_file_leaves_the_whole_last_good_set_serving()
    {
        Write("a.yaml", Service("a"));
        using var source = Load();
        var good = source.Status.Version;
        var world = store.Current;

        clock.Advance(TimeSpan.FromMinutes(1));
        Write("b.yaml", Service("b"));
        Write("c.yaml", "kind: Service\napiVersion: v1\nmetadata: {name: C}\nspec: {ports: [{port: 80}]}");
        source.Load();
        Assert.Same(world, store.Current);
        Assert.Equal(good, source.Status.Version);
        Assert.Equal(clock.GetUtcNow(), source.Status.WrongSince);
        Assert.Contains("c.yaml:3: metadata.name: must be a DNS label", Assert.Single(source.Status.Errors).ToString(), StringComparison.Ordinal);

        Write("c.yaml", Service("c"));
        source.Load();
        Assert.Equal(["a", "b", "c"], Names());
        Assert.Null(source.Status.WrongSince);
        Assert.Empty(source.Status.Errors);
    }

    [Fact]
    public void Going_back_to_the_good_text_clears_the_error_and_publishes_nothing()
    {
        Write("a.yaml", Service("a"));
        using var source = Load();
        var world = store.Current;
        Write("a.yaml", "x: [");
        source.Load();
        Assert.NotEmpty(source.Status.Errors);
        Write("a.yaml", Service("a"));
        source.Load();
        Assert.Empty(source.Status.Errors);
        Assert.Same(world, store.Current);
    }

    [Fact]
    public void Wrong_from_the_start_serves_nothing_and_says_so()
    {
        Write("a.yaml", "x: [");
        using var source = Load();
        Assert.False(source.FirstGood.IsCompleted);
        Assert.Same(World.Empty, store.Current);
        Assert.NotEmpty(source.Status.Errors);
    }

    [Fact]
    public void A_folder_that_goes_away_leaves_the_set_serving()
    {
        Write("a.yaml", Service("a"));
        using var source = Load();
        Directory.Delete(folder, recursive: true);
        source.Load();
        Assert.Equal(["a"], Names());
        Assert.Contains("the folder cannot be read", Assert.Single(source.Status.Errors).Text, StringComparison.Ordinal);
        Write("a.yaml", Service("b"));
        source.Load();
        Assert.Equal(["b"], Names());
    }

    [Fact]
    public void A_file_that_is_empty_for_a_moment_takes_nothing_away()
    {
        Write("a.yaml", Service("a"));
        Write("b.yaml", Service("b"));
        using var source = Load();
        Write("b.yaml", "");
        source.Load();
        Assert.Equal(["a", "b"], Names());
        Write("b.yaml", Service("c"));
        source.Load();
        Assert.Equal(["a", "c"], Names());
        Write("b.yaml", "");
        source.Load();
        source.Load();
        Assert.Equal(["a"], Names());
    }

    [Fact]
    public void A_swapped_ConfigMap_is_seen_though_its_links_stay()
    {
        Write("..1/a.yaml", Service("a"));
        Write("..2/a.yaml", Service("b"));
        Directory.CreateSymbolicLink(Path.Combine(folder, "..data"), "..1");
        File.CreateSymbolicLink(Path.Combine(folder, "a.yaml"), "..data/a.yaml");
        using var source = Load();
        Assert.Equal(["a"], Names());
        File.Delete(Path.Combine(folder, "..data"));
        Directory.CreateSymbolicLink(Path.Combine(folder, "..data"), "..2");
        source.Load();
        Assert.Equal(["b"], Names());
    }

    [Fact]
    public void A_file_that_cannot_be_read_is_an_error_of_that_file()
    {
        Write("a.yaml", Service("a"));
        File.CreateSymbolicLink(Path.Combine(folder, "gone.yaml"), "nowhere.yaml");
        using var source = Load();
        Assert.Contains("gone.yaml:1: cannot be read: ", Assert.Single(source.Status.Errors).ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_change_is_seen_without_being_asked_for()
    {
        Write("a.yaml", Service("a"));
        using var stop = new CancellationTokenSource();
        using var source = new FileSource(folder, store, TimeProvider.System, Log.Silent);
        var running = source.RunAsync(stop.Token);
        await source.FirstGood.WaitAsync(Patience);

        var seen = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        store.Changed += _ => seen.TrySetResult();
        Write(".a.yaml.swp", Service("b"));
        File.Move(Path.Combine(folder, ".a.yaml.swp"), Path.Combine(folder, "a.yaml"), overwrite: true);
        await seen.Task.WaitAsync(Patience);
        Assert.Equal(["b"], Names());
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => running);
    }

    private FileSource Load()
    {
        var source = new FileSource(folder, store, clock, Log.Silent);
        source.Load();
        return source;
    }

    private string[] Names() => [.. store.Current.Services.Keys.Select(name => name.Name).Order(StringComparer.Ordinal)];

    private void Write(string name, string text)
    {
        var path = Path.Combine(folder, name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
    }

    private static string Service(string name) => $"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: 80}}]}}\n";
}
