namespace Mesh.Sidecar.Tests;

/// <summary>When memory is given back.</summary>
public sealed class MemoryTrimTests
{
    [Fact]
    public void WhatManyConnectionsHadIsGivenBackWhenTheyEnd()
    {
        var (open, collected) = (0, 7);
        var trim = new MemoryTrim(TimeProvider.System, () => open, () => collected);
        Assert.True(trim.Look(), "after the start");
        Assert.False(trim.Look(), "nothing happened since");
        open = 1000;
        Assert.False(trim.Look(), "they are in use");
        open = 0; // which collects nothing by itself
        Assert.True(trim.Look());
        Assert.False(trim.Look());
    }

    [Fact]
    public void NothingIsDoneUnderLoad()
    {
        var (open, collected) = (1000, 7);
        var trim = new MemoryTrim(TimeProvider.System, () => open, () => collected);
        collected++;
        Assert.False(trim.Look());
        (open, collected) = (0, collected + 1);
        Assert.False(trim.Look());
        Assert.True(trim.Look(), "quiet now");
    }
}
